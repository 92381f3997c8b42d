package io.sparrowkv.encode;

import io.sparrowkv.concurrent.Workers;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The most that the CPU's multiply-add units give: fused multiply-adds of registers alone, with enough sums side by side to hide the
 * latency of each. No product of matrices can be faster, since it has loads to do as well.
 */
final class FmaPeak {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int SUMS = 12;
    private static final int STEPS = 1_000_000;
    private static final int WARM_UPS = 3;
    private static final int ROUNDS = 5;

    /** Read by nobody; what a loop writes here cannot be left out. */
    private final float[] sums;

    private FmaPeak(int threads) {
        sums = new float[threads];
    }

    /** Billions of floating-point operations a second of all workers together, in the best of several rounds. */
    static double gigaflops(Workers workers) {
        FmaPeak peak = new FmaPeak(workers.threads());
        double best = 0;
        for (int round = -WARM_UPS; round < ROUNDS; round++) {
            long start = System.nanoTime();
            workers.forEach(workers.threads(), (piece, worker) -> peak.sums[piece] = sum(0.5f + piece));
            double operations = 2.0 * SPECIES.length() * SUMS * STEPS * workers.threads();
            if (round >= 0) {
                best = Math.max(best, operations / (System.nanoTime() - start));
            }
        }
        return best;
    }

    private static float sum(float start) {
        FloatVector factor = FloatVector.broadcast(SPECIES, 0.999f);
        FloatVector addend = FloatVector.broadcast(SPECIES, start);
        FloatVector s0 = addend;
        FloatVector s1 = addend;
        FloatVector s2 = addend;
        FloatVector s3 = addend;
        FloatVector s4 = addend;
        FloatVector s5 = addend;
        FloatVector s6 = addend;
        FloatVector s7 = addend;
        FloatVector s8 = addend;
        FloatVector s9 = addend;
        FloatVector s10 = addend;
        FloatVector s11 = addend;
        for (int i = 0; i < STEPS; i++) {
            s0 = s0.fma(factor, addend);
            s1 = s1.fma(factor, addend);
            s2 = s2.fma(factor, addend);
            s3 = s3.fma(factor, addend);
            s4 = s4.fma(factor, addend);
            s5 = s5.fma(factor, addend);
            s6 = s6.fma(factor, addend);
            s7 = s7.fma(factor, addend);
            s8 = s8.fma(factor, addend);
            s9 = s9.fma(factor, addend);
            s10 = s10.fma(factor, addend);
            s11 = s11.fma(factor, addend);
        }
        return s0.add(s1)
                .add(s2)
                .add(s3)
                .add(s4)
                .add(s5)
                .add(s6)
                .add(s7)
                .add(s8)
                .add(s9)
                .add(s10)
                .add(s11)
                .lane(0);
    }
}
