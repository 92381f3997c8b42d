package io.sparrowkv.train;

/**
 * What one step saw of its batch, before it changed the weights.
 *
 * @param loss weighted mean of the squared errors at each budget, per number; about 1 where nothing is explained
 * @param explainedVariance at the largest budget: 1 − |x − x̂|² / |x − mean|²
 * @param l0 mean number of pairs in a code
 * @param deadShare part of the latents that have not fired for long
 */
public record StepResult(double loss, double explainedVariance, double l0, double deadShare) {}
