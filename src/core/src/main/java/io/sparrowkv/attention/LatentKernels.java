package io.sparrowkv.attention;

import java.lang.foreign.MemorySegment;

/**
 * Loops over the pairs of codes for a few queries at once: what a query knows of an atom is one lane of the atom's vector, so that a
 * pair costs one load and one multiply-add for all of them.
 *
 * <p>One implementation for each width, since the compiler makes good code of a vector only where its length is a constant.
 */
interface LatentKernels {
    /** Queries. */
    int width();

    /**
     * scores[t] = bias + Σ_k coefficient[t][k] · latents[index[t][k]] over the first {@code read} pairs of {@code count} codes.
     *
     * @param codes unpacked at a stride of {@code width} floats
     * @param bias {@code [width]}
     * @param latents fp32 {@code [latents, width]}
     * @param scores written, {@code [count, width]}
     */
    void score(UnpackedCodes codes, int read, int count, float[] bias, MemorySegment latents, float[] scores);

    /** sums[index[t][k]] += coefficient[t][k] · weights[t], the weights from {@code weightsAt} on; arguments as of {@link #score}. */
    void accumulate(UnpackedCodes codes, int read, int count, float[] weights, int weightsAt, MemorySegment sums);

    /** The narrowest that holds {@code queries}, or else the widest. */
    static LatentKernels of(int queries) {
        return queries <= QuadLatents.WIDTH || FullLatents.WIDTH <= QuadLatents.WIDTH
                ? new QuadLatents()
                : new FullLatents();
    }
}
