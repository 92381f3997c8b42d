package io.sparrowkv.llm.gradient;

/**
 * The mean of g gᵀ over vectors g.
 *
 * @param vectors how many
 * @param matrix {@code [width, width]}, symmetric and positive semi-definite but for rounding; the caller's to change
 */
public record SecondMoment(long vectors, double[] matrix) {}
