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
        for (int half = LANES; half < run; half *= 2) {
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
