package io.sparrowkv.attention;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * e^x for vectors of floats, to 2 units in the last place: 2^n times the minimax polynomial of Cephes' {@code expf} on the rest.
 * The platform's own vector exponential is not to be had on every machine, and the same bits are wanted on all.
 */
final class Exponential {
    /** Below, the result is 0: smaller than the smallest normal float. */
    private static final float LOWEST = -87.3f;

    private static final float LOG2_E = 1.44269504088896341f;
    // ln 2 in two parts, the first short enough that its product with n is exact.
    private static final float LN2_HIGH = 0.693359375f;
    private static final float LN2_LOW = -2.12194440e-4f;
    // Adding and subtracting 1.5 · 2^23 rounds to the nearest integer.
    private static final float ROUND = 0x1.8p23f;
    private static final int EXPONENT_SHIFT = 23;
    private static final int EXPONENT_BIAS = 127;

    private Exponential() {}

    /** e^x for x of at most 88; 0 below −87.3 and at −∞. */
    static FloatVector of(FloatVector x) {
        FloatVector clamped = x.max(LOWEST);
        FloatVector rounded =
                clamped.fma(FloatVector.broadcast(Lanes.FLOATS, LOG2_E), FloatVector.broadcast(Lanes.FLOATS, ROUND));
        FloatVector n = rounded.sub(ROUND);
        FloatVector r = n.fma(constant(-LN2_HIGH), clamped);
        r = n.fma(constant(-LN2_LOW), r);
        FloatVector p = constant(1.9875691500e-4f);
        p = p.fma(r, constant(1.3981999507e-3f));
        p = p.fma(r, constant(8.3334519073e-3f));
        p = p.fma(r, constant(4.1665795894e-2f));
        p = p.fma(r, constant(1.6666665459e-1f));
        p = p.fma(r, constant(5.0000001201e-1f));
        p = p.fma(r.mul(r), r).add(1f);
        // Never the bits of floats as ints: RowKernels says why.
        FloatVector power = ((IntVector) n.convert(VectorOperators.F2I, 0))
                .add(EXPONENT_BIAS)
                .lanewise(VectorOperators.LSHL, EXPONENT_SHIFT)
                .reinterpretAsFloats();
        return p.mul(power).blend(0f, x.compare(VectorOperators.LT, LOWEST));
    }

    private static FloatVector constant(float value) {
        return FloatVector.broadcast(Lanes.FLOATS, value);
    }
}
