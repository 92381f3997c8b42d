package io.sparrowkv.train;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * Float arithmetic over rows in memory whose result does not depend on when the compiler got to it: {@code reduceLanes} leaves the
 * order of a floating-point sum open, so sums over lanes are made here by halves, in a fixed order.
 */
final class Lanes {
    static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    static final int LENGTH = SPECIES.length();
    static final ByteOrder ORDER = ByteOrder.nativeOrder();

    private static final VectorShuffle<Float> BY_8 = VectorShuffle.fromOp(SPECIES, lane -> (lane + 8) % LENGTH);
    private static final VectorShuffle<Float> BY_4 = VectorShuffle.fromOp(SPECIES, lane -> (lane + 4) % LENGTH);
    private static final VectorShuffle<Float> BY_2 = VectorShuffle.fromOp(SPECIES, lane -> (lane + 2) % LENGTH);
    private static final VectorShuffle<Float> BY_1 = VectorShuffle.fromOp(SPECIES, lane -> (lane + 1) % LENGTH);

    private Lanes() {}

    static FloatVector load(MemorySegment from, long index) {
        return FloatVector.fromMemorySegment(SPECIES, from, index * Float.BYTES, ORDER);
    }

    static FloatVector load(MemorySegment from, long index, VectorMask<Float> mask) {
        return FloatVector.fromMemorySegment(SPECIES, from, index * Float.BYTES, ORDER, mask);
    }

    static void store(FloatVector vector, MemorySegment to, long index) {
        vector.intoMemorySegment(to, index * Float.BYTES, ORDER);
    }

    static void store(FloatVector vector, MemorySegment to, long index, VectorMask<Float> mask) {
        vector.intoMemorySegment(to, index * Float.BYTES, ORDER, mask);
    }

    static FloatVector zero() {
        return FloatVector.zero(SPECIES);
    }

    /** The lanes from {@code column} to {@code width}, all of them but in a row's last vector. */
    static VectorMask<Float> within(int column, int width) {
        return SPECIES.indexInRange(column, width);
    }

    /** Sum of the lanes: each half is added to the other in registers until one lane holds it. */
    static float sum(FloatVector vector) {
        FloatVector sum = vector;
        if (LENGTH >= 16) {
            sum = sum.add(sum.rearrange(BY_8));
        }
        if (LENGTH >= 8) {
            sum = sum.add(sum.rearrange(BY_4));
        }
        if (LENGTH >= 4) {
            sum = sum.add(sum.rearrange(BY_2));
        }
        return sum.add(sum.rearrange(BY_1)).lane(0);
    }

    /** Σ a_i b_i over {@code width} floats. */
    static float dot(MemorySegment a, long aIndex, MemorySegment b, long bIndex, int width) {
        FloatVector sum0 = zero();
        FloatVector sum1 = zero();
        int i = 0;
        for (; i + 2 * LENGTH <= width; i += 2 * LENGTH) {
            sum0 = load(a, aIndex + i).fma(load(b, bIndex + i), sum0);
            sum1 = load(a, aIndex + i + LENGTH).fma(load(b, bIndex + i + LENGTH), sum1);
        }
        for (; i < width; i += LENGTH) {
            VectorMask<Float> mask = within(i, width);
            sum0 = load(a, aIndex + i, mask).fma(load(b, bIndex + i, mask), sum0);
        }
        return sum(sum0.add(sum1));
    }

    /** y_i += scale · x_i over {@code width} floats. */
    static void addScaled(MemorySegment y, long yIndex, float scale, MemorySegment x, long xIndex, int width) {
        FloatVector factor = FloatVector.broadcast(SPECIES, scale);
        int i = 0;
        for (; i + LENGTH <= width; i += LENGTH) {
            store(load(x, xIndex + i).fma(factor, load(y, yIndex + i)), y, yIndex + i);
        }
        if (i < width) {
            VectorMask<Float> mask = within(i, width);
            store(load(x, xIndex + i, mask).fma(factor, load(y, yIndex + i, mask)), y, yIndex + i, mask);
        }
    }

    /** y_i = scale · x_i over {@code count} floats; x and y may be the same. */
    static void scale(MemorySegment y, long yIndex, float scale, MemorySegment x, long xIndex, long count) {
        long i = 0;
        for (; i + LENGTH <= count; i += LENGTH) {
            store(load(x, xIndex + i).mul(scale), y, yIndex + i);
        }
        if (i < count) {
            VectorMask<Float> mask = SPECIES.indexInRange(i, count);
            store(load(x, xIndex + i, mask).mul(scale), y, yIndex + i, mask);
        }
    }

    /** Divides a row by its length; a row of zeros becomes the first unit vector. */
    static void normalise(MemorySegment row, long index, int width) {
        float squared = dot(row, index, row, index, width);
        if (squared > Float.MIN_NORMAL && Float.isFinite(squared)) {
            scale(row, index, (float) (1 / Math.sqrt(squared)), row, index, width);
        } else if (squared <= Float.MIN_NORMAL) {
            row.asSlice(index * Float.BYTES, (long) width * Float.BYTES).fill((byte) 0);
            row.setAtIndex(ValueLayout.JAVA_FLOAT, index, 1f);
        }
    }
}
