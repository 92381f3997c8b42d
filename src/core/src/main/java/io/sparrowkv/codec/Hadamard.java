package io.sparrowkv.codec;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/** The Walsh–Hadamard transform of runs of 2^k numbers, unnormalised: √2^k times its own inverse. */
final class Hadamard {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = FLOATS.length();

    private static final VectorShuffle<Float> SWAP_1 = swap(1);
    private static final VectorShuffle<Float> SWAP_2 = swap(2);
    private static final VectorShuffle<Float> SWAP_4 = swap(4);
    private static final VectorShuffle<Float> SWAP_8 = swap(8);
    private static final float[] SIGNS_1 = signs(1);
    private static final float[] SIGNS_2 = signs(2);
    private static final float[] SIGNS_4 = signs(4);
    private static final float[] SIGNS_8 = signs(8);

    private Hadamard() {}

    /** Transforms each run of {@code vector}, whose length is a multiple of {@code run}, a power of two. */
    static void transform(float[] vector, int run) {
        if (run < LANES || LANES > 16) {
            transformOneByOne(vector, run);
            return;
        }
        for (int i = 0; i < vector.length; i += LANES) {
            FloatVector x = FloatVector.fromArray(FLOATS, vector, i);
            x = butterfly(x, SWAP_1, SIGNS_1);
            x = LANES > 2 ? butterfly(x, SWAP_2, SIGNS_2) : x;
            x = LANES > 4 ? butterfly(x, SWAP_4, SIGNS_4) : x;
            x = LANES > 8 ? butterfly(x, SWAP_8, SIGNS_8) : x;
            x.intoArray(vector, i);
        }
        int half = LANES;
        for (; 8 * half <= run; half *= 8) {
            for (int first = 0; first < vector.length; first += 8 * half) {
                for (int i = first; i < first + half; i += LANES) {
                    transformEight(vector, i, half);
                }
            }
        }
        for (; half < run; half *= 2) {
            for (int first = 0; first < vector.length; first += 2 * half) {
                for (int i = first; i < first + half; i += LANES) {
                    FloatVector a = FloatVector.fromArray(FLOATS, vector, i);
                    FloatVector b = FloatVector.fromArray(FLOATS, vector, i + half);
                    a.add(b).intoArray(vector, i);
                    a.sub(b).intoArray(vector, i + half);
                }
            }
        }
    }

    /** Three steps at once, in registers. */
    private static void transformEight(float[] vector, int at, int step) {
        FloatVector a0 = FloatVector.fromArray(FLOATS, vector, at);
        FloatVector a1 = FloatVector.fromArray(FLOATS, vector, at + step);
        FloatVector a2 = FloatVector.fromArray(FLOATS, vector, at + 2 * step);
        FloatVector a3 = FloatVector.fromArray(FLOATS, vector, at + 3 * step);
        FloatVector a4 = FloatVector.fromArray(FLOATS, vector, at + 4 * step);
        FloatVector a5 = FloatVector.fromArray(FLOATS, vector, at + 5 * step);
        FloatVector a6 = FloatVector.fromArray(FLOATS, vector, at + 6 * step);
        FloatVector a7 = FloatVector.fromArray(FLOATS, vector, at + 7 * step);
        FloatVector b0 = a0.add(a1);
        FloatVector b1 = a0.sub(a1);
        FloatVector b2 = a2.add(a3);
        FloatVector b3 = a2.sub(a3);
        FloatVector b4 = a4.add(a5);
        FloatVector b5 = a4.sub(a5);
        FloatVector b6 = a6.add(a7);
        FloatVector b7 = a6.sub(a7);
        FloatVector c0 = b0.add(b2);
        FloatVector c1 = b1.add(b3);
        FloatVector c2 = b0.sub(b2);
        FloatVector c3 = b1.sub(b3);
        FloatVector c4 = b4.add(b6);
        FloatVector c5 = b5.add(b7);
        FloatVector c6 = b4.sub(b6);
        FloatVector c7 = b5.sub(b7);
        c0.add(c4).intoArray(vector, at);
        c1.add(c5).intoArray(vector, at + step);
        c2.add(c6).intoArray(vector, at + 2 * step);
        c3.add(c7).intoArray(vector, at + 3 * step);
        c0.sub(c4).intoArray(vector, at + 4 * step);
        c1.sub(c5).intoArray(vector, at + 5 * step);
        c2.sub(c6).intoArray(vector, at + 6 * step);
        c3.sub(c7).intoArray(vector, at + 7 * step);
    }

    /** Sums in the lower lane of each pair that a swap exchanges, differences in the upper. */
    private static FloatVector butterfly(FloatVector x, VectorShuffle<Float> swap, float[] signs) {
        return x.fma(FloatVector.fromArray(FLOATS, signs, 0), x.rearrange(swap));
    }

    private static void transformOneByOne(float[] vector, int run) {
        for (int half = 1; half < run; half *= 2) {
            for (int first = 0; first < vector.length; first += 2 * half) {
                for (int i = first; i < first + half; i++) {
                    float a = vector[i];
                    float b = vector[i + half];
                    vector[i] = a + b;
                    vector[i + half] = a - b;
                }
            }
        }
    }

    private static VectorShuffle<Float> swap(int half) {
        return VectorShuffle.fromOp(FLOATS, lane -> (lane ^ half) % LANES);
    }

    private static float[] signs(int half) {
        float[] signs = new float[LANES];
        for (int lane = 0; lane < LANES; lane++) {
            signs[lane] = (lane & half) == 0 ? 1 : -1;
        }
        return signs;
    }
}
