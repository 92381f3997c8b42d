package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * The inner loops of attention. Each vector lane is one query head of one token, so that a key or value, dense or as a code, is
 * read once for all {@link #LANES} of them, and a pair of a code costs one load and one multiply-add for all.
 *
 * <p>A panel is an array {@code [rows, LANES]} of floats. Offsets and strides are in bytes.
 */
final class LaneKernels {
    static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, FLOATS.vectorShape());

    /** Lanes of a panel. */
    static final int LANES = FLOATS.length();

    /** Bytes of a panel's row. */
    static final long ROW_BYTES = (long) LANES * Float.BYTES;

    static final VectorMask<Float> ALL = FLOATS.maskAll(true);
    static final ByteOrder ORDER = ByteOrder.nativeOrder();

    /** Halves, as many as there are lanes. */
    private static final VectorSpecies<Short> HALVES =
            VectorSpecies.of(short.class, VectorShape.forBitSize(FLOATS.vectorBitSize() / 2));

    /** Rows of the register tile: enough chains of multiply-adds to fill two units of latency four. */
    private static final int TILE = 8;

    private static final int HALF_TO_FLOAT_SHIFT = 13;
    private static final float HALF_TO_FLOAT_SCALE = 0x1p112f;

    private LaneKernels() {}

    static FloatVector load(MemorySegment panel, long offset) {
        return FloatVector.fromMemorySegment(FLOATS, panel, offset, ORDER);
    }

    static void store(FloatVector vector, MemorySegment panel, long offset) {
        vector.intoMemorySegment(panel, offset, ORDER);
    }

    /**
     * result[r] = Σ_d rows[r][d] · columns[d] for {@code count} rows of {@code dims} floats, in the lanes of {@code mask}; the other
     * lanes of the result stay as they are.
     */
    static void product(
            MemorySegment rows,
            long rowsOffset,
            long rowStride,
            int count,
            int dims,
            MemorySegment columns,
            long columnsOffset,
            MemorySegment result,
            long resultOffset,
            VectorMask<Float> mask) {
        int r = 0;
        for (; r <= count - TILE; r += TILE) {
            long at0 = rowsOffset + r * rowStride;
            long at1 = at0 + rowStride;
            long at2 = at1 + rowStride;
            long at3 = at2 + rowStride;
            long at4 = at3 + rowStride;
            long at5 = at4 + rowStride;
            long at6 = at5 + rowStride;
            long at7 = at6 + rowStride;
            FloatVector s0 = FloatVector.zero(FLOATS);
            FloatVector s1 = s0;
            FloatVector s2 = s0;
            FloatVector s3 = s0;
            FloatVector s4 = s0;
            FloatVector s5 = s0;
            FloatVector s6 = s0;
            FloatVector s7 = s0;
            for (int d = 0; d < dims; d++) {
                long element = (long) d * Float.BYTES;
                FloatVector column = load(columns, columnsOffset + d * ROW_BYTES);
                s0 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at0 + element)), s0);
                s1 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at1 + element)), s1);
                s2 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at2 + element)), s2);
                s3 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at3 + element)), s3);
                s4 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at4 + element)), s4);
                s5 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at5 + element)), s5);
                s6 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at6 + element)), s6);
                s7 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at7 + element)), s7);
            }
            long to = resultOffset + r * ROW_BYTES;
            s0.intoMemorySegment(result, to, ORDER, mask);
            s1.intoMemorySegment(result, to + ROW_BYTES, ORDER, mask);
            s2.intoMemorySegment(result, to + 2 * ROW_BYTES, ORDER, mask);
            s3.intoMemorySegment(result, to + 3 * ROW_BYTES, ORDER, mask);
            s4.intoMemorySegment(result, to + 4 * ROW_BYTES, ORDER, mask);
            s5.intoMemorySegment(result, to + 5 * ROW_BYTES, ORDER, mask);
            s6.intoMemorySegment(result, to + 6 * ROW_BYTES, ORDER, mask);
            s7.intoMemorySegment(result, to + 7 * ROW_BYTES, ORDER, mask);
        }
        for (; r < count; r++) {
            long at = rowsOffset + r * rowStride;
            FloatVector sum = FloatVector.zero(FLOATS);
            for (int d = 0; d < dims; d++) {
                float x = rows.get(JAVA_FLOAT, at + (long) d * Float.BYTES);
                sum = load(columns, columnsOffset + d * ROW_BYTES).fma(FloatVector.broadcast(FLOATS, x), sum);
            }
            sum.intoMemorySegment(result, resultOffset + r * ROW_BYTES, ORDER, mask);
        }
    }

    /** sums[d] += Σ_r weights[r] · rows[r][d] for {@code count} rows of {@code dims} floats, with the weights of {@code mask} alone. */
    static void accumulate(
            MemorySegment rows,
            long rowsOffset,
            long rowStride,
            int count,
            int dims,
            MemorySegment weights,
            long weightsOffset,
            VectorMask<Float> mask,
            MemorySegment sums,
            long sumsOffset) {
        int d = 0;
        for (; d <= dims - TILE; d += TILE) {
            long to = sumsOffset + d * ROW_BYTES;
            FloatVector s0 = load(sums, to);
            FloatVector s1 = load(sums, to + ROW_BYTES);
            FloatVector s2 = load(sums, to + 2 * ROW_BYTES);
            FloatVector s3 = load(sums, to + 3 * ROW_BYTES);
            FloatVector s4 = load(sums, to + 4 * ROW_BYTES);
            FloatVector s5 = load(sums, to + 5 * ROW_BYTES);
            FloatVector s6 = load(sums, to + 6 * ROW_BYTES);
            FloatVector s7 = load(sums, to + 7 * ROW_BYTES);
            long at = rowsOffset + (long) d * Float.BYTES;
            for (int r = 0; r < count; r++, at += rowStride) {
                FloatVector weight =
                        FloatVector.fromMemorySegment(FLOATS, weights, weightsOffset + r * ROW_BYTES, ORDER, mask);
                s0 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at)), s0);
                s1 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at + 4)), s1);
                s2 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at + 8)), s2);
                s3 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at + 12)), s3);
                s4 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at + 16)), s4);
                s5 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at + 20)), s5);
                s6 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at + 24)), s6);
                s7 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at + 28)), s7);
            }
            store(s0, sums, to);
            store(s1, sums, to + ROW_BYTES);
            store(s2, sums, to + 2 * ROW_BYTES);
            store(s3, sums, to + 3 * ROW_BYTES);
            store(s4, sums, to + 4 * ROW_BYTES);
            store(s5, sums, to + 5 * ROW_BYTES);
            store(s6, sums, to + 6 * ROW_BYTES);
            store(s7, sums, to + 7 * ROW_BYTES);
        }
        for (; d < dims; d++) {
            long to = sumsOffset + d * ROW_BYTES;
            FloatVector sum = load(sums, to);
            long at = rowsOffset + (long) d * Float.BYTES;
            for (int r = 0; r < count; r++, at += rowStride) {
                FloatVector weight =
                        FloatVector.fromMemorySegment(FLOATS, weights, weightsOffset + r * ROW_BYTES, ORDER, mask);
                sum = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT, at)), sum);
            }
            store(sum, sums, to);
        }
    }

    /** Widens {@code count} finite binary16 numbers, none negative, to floats. */
    static void widen(MemorySegment halves, long offset, int count, MemorySegment floats) {
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            IntVector bits =
                    (IntVector) ShortVector.fromMemorySegment(HALVES, halves, offset + (long) i * Short.BYTES, ORDER)
                            .convertShape(VectorOperators.ZERO_EXTEND_S2I, INTS, 0);
            // Exact for normal and subnormal halves alike: the shifted exponent is 112 too small, which the product
            // adds.
            bits.lanewise(VectorOperators.LSHL, HALF_TO_FLOAT_SHIFT)
                    .reinterpretAsFloats()
                    .mul(HALF_TO_FLOAT_SCALE)
                    .intoMemorySegment(floats, (long) i * Float.BYTES, ORDER);
        }
        for (; i < count; i++) {
            short half = halves.get(JAVA_SHORT, offset + (long) i * Short.BYTES);
            floats.setAtIndex(JAVA_FLOAT, i, Float.float16ToFloat(half));
        }
    }

    /**
     * scores[t] = bias + Σ_k coefficient[t][k] · latents[index[t][k]] over the first {@code read} pairs of {@code count} codes, in the
     * lanes of {@code mask}.
     *
     * @param indices uint16 {@code [count, budget]}
     * @param coefficients fp32 {@code [count, budget]}, from its start
     */
    static void scoreCodes(
            MemorySegment indices,
            long indexOffset,
            MemorySegment coefficients,
            int budget,
            int read,
            int count,
            MemorySegment bias,
            long biasOffset,
            MemorySegment latents,
            MemorySegment scores,
            VectorMask<Float> mask) {
        FloatVector initial = load(bias, biasOffset);
        for (int t = 0; t < count; t++) {
            FloatVector sum = initial;
            int row = t * budget;
            for (int k = row; k < row + read; k++) {
                int index = Short.toUnsignedInt(indices.get(JAVA_SHORT, indexOffset + (long) k * Short.BYTES));
                float coefficient = coefficients.get(JAVA_FLOAT, (long) k * Float.BYTES);
                sum = load(latents, index * ROW_BYTES).fma(FloatVector.broadcast(FLOATS, coefficient), sum);
            }
            sum.intoMemorySegment(scores, t * ROW_BYTES, ORDER, mask);
        }
    }

    /** sums[index[t][k]] += coefficient[t][k] · weights[t], with the weights of {@code mask} alone; arguments as of {@link #scoreCodes}. */
    static void accumulateCodes(
            MemorySegment indices,
            long indexOffset,
            MemorySegment coefficients,
            int budget,
            int read,
            int count,
            MemorySegment weights,
            VectorMask<Float> mask,
            MemorySegment sums) {
        for (int t = 0; t < count; t++) {
            FloatVector weight = FloatVector.fromMemorySegment(FLOATS, weights, t * ROW_BYTES, ORDER, mask);
            int row = t * budget;
            for (int k = row; k < row + read; k++) {
                int index = Short.toUnsignedInt(indices.get(JAVA_SHORT, indexOffset + (long) k * Short.BYTES));
                float coefficient = coefficients.get(JAVA_FLOAT, (long) k * Float.BYTES);
                long at = index * ROW_BYTES;
                store(weight.fma(FloatVector.broadcast(FLOATS, coefficient), load(sums, at)), sums, at);
            }
        }
    }

    /**
     * rows[t] = bias + Σ_k coefficient[t][k] · atoms[index[t][k]]: codes back to vectors.
     *
     * @param atoms fp32 {@code [latents, dims]}
     * @param rows fp32 {@code [count, dims]}
     */
    static void decode(
            MemorySegment indices,
            long indexOffset,
            MemorySegment coefficients,
            int budget,
            int read,
            int count,
            int dims,
            MemorySegment atoms,
            MemorySegment bias,
            MemorySegment rows) {
        long vectorBytes = (long) dims * Float.BYTES;
        for (int t = 0; t < count; t++) {
            int row = t * budget;
            for (int d = 0; d < dims; d += LANES) {
                VectorMask<Float> mask = d + LANES <= dims ? ALL : FLOATS.indexInRange(d, dims);
                long column = (long) d * Float.BYTES;
                FloatVector sum = FloatVector.fromMemorySegment(FLOATS, bias, column, ORDER, mask);
                for (int k = row; k < row + read; k++) {
                    int index = Short.toUnsignedInt(indices.get(JAVA_SHORT, indexOffset + (long) k * Short.BYTES));
                    float coefficient = coefficients.get(JAVA_FLOAT, (long) k * Float.BYTES);
                    sum = FloatVector.fromMemorySegment(FLOATS, atoms, index * vectorBytes + column, ORDER, mask)
                            .fma(FloatVector.broadcast(FLOATS, coefficient), sum);
                }
                sum.intoMemorySegment(rows, t * vectorBytes + column, ORDER, mask);
            }
        }
    }

    /** panel[r] *= the row at {@code factorOffset} of {@code factors}, for {@code count} rows. */
    static void scale(MemorySegment panel, int count, MemorySegment factors, long factorOffset) {
        FloatVector factor = load(factors, factorOffset);
        for (int r = 0; r < count; r++) {
            store(load(panel, r * ROW_BYTES).mul(factor), panel, r * ROW_BYTES);
        }
    }
}
