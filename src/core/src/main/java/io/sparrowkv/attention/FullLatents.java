package io.sparrowkv.attention;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** As many queries as the machine's vectors have floats. */
final class FullLatents implements LatentKernels {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;

    static final int WIDTH = SPECIES.length();

    @Override
    public int width() {
        return WIDTH;
    }

    @Override
    public void score(UnpackedCodes codes, int read, int count, float[] bias, MemorySegment latents, float[] scores) {
        int[] offsets = codes.offsets;
        float[] coefficients = codes.coefficients;
        FloatVector initial = FloatVector.fromArray(SPECIES, bias, 0);
        for (int t = 0; t < count; t++) {
            FloatVector sum = initial;
            int end = codes.end(t, read);
            for (int k = codes.first(t); k < end; k++) {
                sum = FloatVector.fromMemorySegment(SPECIES, latents, offsets[k], Lanes.ORDER)
                        .fma(FloatVector.broadcast(SPECIES, coefficients[k]), sum);
            }
            sum.intoArray(scores, t * WIDTH);
        }
    }

    @Override
    public void accumulate(
            UnpackedCodes codes, int read, int count, float[] weights, int weightsAt, MemorySegment sums) {
        int[] offsets = codes.offsets;
        float[] coefficients = codes.coefficients;
        for (int t = 0; t < count; t++) {
            FloatVector weight = FloatVector.fromArray(SPECIES, weights, weightsAt + t * WIDTH);
            int end = codes.end(t, read);
            for (int k = codes.first(t); k < end; k++) {
                int at = offsets[k];
                weight.fma(
                                FloatVector.broadcast(SPECIES, coefficients[k]),
                                FloatVector.fromMemorySegment(SPECIES, sums, at, Lanes.ORDER))
                        .intoMemorySegment(sums, at, Lanes.ORDER);
            }
        }
    }
}
