package io.sparrowkv.encode;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;

/**
 * Turns vectors into codes with one dictionary. Selection is defined: pre-activations z = ReLU(W_enc (x − b_dec) + b_enc) in
 * fp32, the K largest, ties to the lower index; fewer than K positive values give a shorter code. Every implementation agrees with
 * {@link ScalarTopKEncoder} on the index set, but for pairs closer than 1e-5 relative, and on coefficients to 1e-5 relative. Only a
 * {@link RefinedBackend}'s encoders do otherwise: their codes are as {@link Refinement} defines them.
 *
 * <p>An encoder is used by one thread at a time; it may use several itself. Nothing is allocated per call.
 */
public interface TopKEncoder extends AutoCloseable {
    /** The dictionary it encodes with; it must stay open as long as the encoder. */
    Dictionary dictionary();

    /**
     * Encodes a batch.
     *
     * @param vectors fp32 {@code [rows, dHead]}, row-major, native byte order; of no confined arena, since other
     *     threads read it
     * @param rows number of vectors; 0 gives an empty batch
     * @param budget pairs kept of each vector, K, at most the number of latents
     * @param codes filled and shaped {@code [rows, budget]}
     * @throws NonFiniteVectorException when a vector holds NaN or infinity; {@code codes} is then undefined
     * @throws IllegalArgumentException when the budget or a buffer does not fit
     */
    void encode(MemorySegment vectors, int rows, int budget, CodeBatch codes);

    /**
     * Encodes a batch to codes of the same pairs in any order, for those who choose among them and need not wait for them to
     * be sorted. Shorter codes are padded as always.
     *
     * @see #encode
     */
    default void encodeUnordered(MemorySegment vectors, int rows, int budget, CodeBatch codes) {
        encode(vectors, rows, budget, codes);
    }

    /**
     * Checks what {@link #encode} is called with.
     *
     * @throws IllegalArgumentException when the budget is not in {@code [1, latents]} or the rows do not lie in the buffer
     */
    static void requireFit(Dictionary dictionary, MemorySegment vectors, int rows, int budget) {
        if (budget < 1 || budget > dictionary.latents()) {
            throw new IllegalArgumentException(
                    "%s: budget %d of %d latents".formatted(dictionary.site(), budget, dictionary.latents()));
        }
        long needed = (long) rows * dictionary.dHead() * Float.BYTES;
        if (rows < 0 || needed > vectors.byteSize()) {
            throw new IllegalArgumentException("%s: %d rows of %d floats in a buffer of %d bytes"
                    .formatted(dictionary.site(), rows, dictionary.dHead(), vectors.byteSize()));
        }
    }

    /** Reads the dictionary's weights again, after they were changed. */
    void reload();

    @Override
    void close();
}
