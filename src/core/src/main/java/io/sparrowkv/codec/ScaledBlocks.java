package io.sparrowkv.codec;

/** What the block formats of llama.cpp have in common: numbers that share a scale. */
final class ScaledBlocks {
    /** Numbers of a block in llama.cpp. */
    private static final int SIZE = 32;

    private ScaledBlocks() {}

    /** Numbers of a block: 32, or the largest power of two that divides the width where 32 does not (16 for dHead 16 and 80). */
    static int of(int dHead) {
        return Math.min(SIZE, Integer.lowestOneBit(dHead));
    }

    /** The number with the largest magnitude, with its sign; the first of equals. */
    static float extreme(float[] vector, int first, int size) {
        float extreme = 0;
        for (int i = first; i < first + size; i++) {
            if (Math.abs(vector[i]) > Math.abs(extreme)) {
                extreme = vector[i];
            }
        }
        return extreme;
    }
}
