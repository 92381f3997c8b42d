package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** The vectors that attention computes with. */
final class Lanes {
    static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, FLOATS.vectorShape());

    /** Floats of a vector. */
    static final int LANES = FLOATS.length();

    /** Bytes of a vector. */
    static final long BYTES = (long) LANES * Float.BYTES;

    static final ByteOrder ORDER = ByteOrder.nativeOrder();

    private Lanes() {}

    static FloatVector load(MemorySegment floats, long byteOffset) {
        return FloatVector.fromMemorySegment(FLOATS, floats, byteOffset, ORDER);
    }

    static FloatVector broadcast(float value) {
        return FloatVector.broadcast(FLOATS, value);
    }

    /** values[i] *= factors[i mod factors.length] for {@code count} values; both counts are multiples of a vector. */
    static void scale(float[] values, int count, float[] factors) {
        for (int i = 0; i < count; i += LANES) {
            FloatVector.fromArray(FLOATS, values, i)
                    .mul(FloatVector.fromArray(FLOATS, factors, i % factors.length))
                    .intoArray(values, i);
        }
    }

    /** As {@link #scale(float[], int, float[])}, in native memory. */
    static void scale(MemorySegment values, int count, float[] factors) {
        for (int i = 0; i < count; i += LANES) {
            long at = (long) i * Float.BYTES;
            load(values, at)
                    .mul(FloatVector.fromArray(FLOATS, factors, i % factors.length))
                    .intoMemorySegment(values, at, ORDER);
        }
    }

    /** rows[r, d] *= factors[r] for {@code count} rows of {@code dims} fp32 numbers. */
    static void scaleRows(MemorySegment rows, int count, int dims, float[] factors) {
        for (int row = 0; row < count; row++) {
            for (int d = 0; d < dims; d++) {
                long at = (long) row * dims + d;
                rows.setAtIndex(JAVA_FLOAT, at, rows.getAtIndex(JAVA_FLOAT, at) * factors[row]);
            }
        }
    }

    /** sums[i] += terms[i] for {@code count} values, a multiple of a vector. */
    static void add(float[] terms, float[] sums, int sumsAt, int count) {
        for (int i = 0; i < count; i += LANES) {
            FloatVector.fromArray(FLOATS, sums, sumsAt + i)
                    .add(FloatVector.fromArray(FLOATS, terms, i))
                    .intoArray(sums, sumsAt + i);
        }
    }

    /** sums[i] += terms[i] for {@code count} values in native memory; up to a vector's more are touched. */
    static void add(MemorySegment terms, MemorySegment sums, int count) {
        for (int i = 0; i < count; i += LANES) {
            long at = (long) i * Float.BYTES;
            load(sums, at).add(load(terms, at)).intoMemorySegment(sums, at, ORDER);
        }
    }
}
