package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

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
 * <p>Scalars are read as unaligned: the check of an aligned read costs more than the read in these loops.
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

    /** 16-bit numbers, as many as there are lanes. */
    private static final VectorSpecies<Short> SHORTS =
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
                s0 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at0 + element)), s0);
                s1 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at1 + element)), s1);
                s2 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at2 + element)), s2);
                s3 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at3 + element)), s3);
                s4 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at4 + element)), s4);
                s5 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at5 + element)), s5);
                s6 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at6 + element)), s6);
                s7 = column.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at7 + element)), s7);
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
                float x = rows.get(JAVA_FLOAT_UNALIGNED, at + (long) d * Float.BYTES);
                sum = load(columns, columnsOffset + d * ROW_BYTES).fma(FloatVector.broadcast(FLOATS, x), sum);
            }
            sum.intoMemorySegment(result, resultOffset + r * ROW_BYTES, ORDER, mask);
        }
    }

    /** sums[d] += Σ_r weights[r] · rows[r][d] for {@code count} rows of {@code dims} floats. */
    static void accumulate(
            MemorySegment rows,
            long rowsOffset,
            long rowStride,
            int count,
            int dims,
            MemorySegment weights,
            long weightsOffset,
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
                FloatVector weight = load(weights, weightsOffset + r * ROW_BYTES);
                s0 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at)), s0);
                s1 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at + 4)), s1);
                s2 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at + 8)), s2);
                s3 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at + 12)), s3);
                s4 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at + 16)), s4);
                s5 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at + 20)), s5);
                s6 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at + 24)), s6);
                s7 = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at + 28)), s7);
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
                FloatVector weight = load(weights, weightsOffset + r * ROW_BYTES);
                sum = weight.fma(FloatVector.broadcast(FLOATS, rows.get(JAVA_FLOAT_UNALIGNED, at)), sum);
            }
            store(sum, sums, to);
        }
    }

    /** selected[r] = weights[r] in the lanes of {@code mask} and 0 in the others, for {@code count} rows. */
    static void select(MemorySegment weights, int count, VectorMask<Float> mask, MemorySegment selected) {
        VectorMask<Float> others = mask.not();
        for (int r = 0; r < count; r++) {
            store(load(weights, r * ROW_BYTES).blend(0f, others), selected, r * ROW_BYTES);
        }
    }

    /**
     * Widens codes: offsets[i] = stride · index i, coefficients[i] as fp32. Arrays on the heap, because a loop over pairs that reads them
     * from memory segments takes twice as long: 0.8 ns a pair for {@link #scoreCodes} instead of 1.7.
     *
     * @param body uint16 indices at {@code indexOffset} and finite binary16 coefficients, none negative, at {@code coefficientOffset}
     */
    static void unpack(
            MemorySegment body,
            long indexOffset,
            long coefficientOffset,
            int count,
            int stride,
            int[] offsets,
            float[] coefficients) {
        int i = 0;
        for (; i <= count - LANES; i += LANES) {
            long at = (long) i * Short.BYTES;
            widen(body, indexOffset + at).mul(stride).intoArray(offsets, i);
            // Exact for normal and subnormal halves alike: the shifted exponent is 112 too small, which the product
            // adds.
            widen(body, coefficientOffset + at)
                    .lanewise(VectorOperators.LSHL, HALF_TO_FLOAT_SHIFT)
                    .reinterpretAsFloats()
                    .mul(HALF_TO_FLOAT_SCALE)
                    .intoArray(coefficients, i);
        }
        for (; i < count; i++) {
            long at = (long) i * Short.BYTES;
            offsets[i] = stride * Short.toUnsignedInt(body.get(JAVA_SHORT_UNALIGNED, indexOffset + at));
            coefficients[i] = Float.float16ToFloat(body.get(JAVA_SHORT_UNALIGNED, coefficientOffset + at));
        }
    }

    private static IntVector widen(MemorySegment shorts, long offset) {
        return (IntVector) ShortVector.fromMemorySegment(SHORTS, shorts, offset, ORDER)
                .convertShape(VectorOperators.ZERO_EXTEND_S2I, INTS, 0);
    }

    /**
     * scores[t] = bias + Σ_k coefficient[t][k] · latents[index[t][k]] over the first {@code read} pairs of {@code count} codes, in the
     * lanes of {@code mask}.
     *
     * @param offsets of {@link #unpack} at a stride of {@link #ROW_BYTES}, {@code [count, budget]}
     * @param coefficients {@code [count, budget]}
     */
    static void scoreCodes(
            int[] offsets,
            float[] coefficients,
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
            int end = t * budget + read;
            for (int k = t * budget; k < end; k++) {
                sum = load(latents, offsets[k]).fma(FloatVector.broadcast(FLOATS, coefficients[k]), sum);
            }
            sum.intoMemorySegment(scores, t * ROW_BYTES, ORDER, mask);
        }
    }

    /** sums[index[t][k]] += coefficient[t][k] · weights[t]; arguments as of {@link #scoreCodes}. */
    static void accumulateCodes(
            int[] offsets,
            float[] coefficients,
            int budget,
            int read,
            int count,
            MemorySegment weights,
            MemorySegment sums) {
        for (int t = 0; t < count; t++) {
            FloatVector weight = load(weights, t * ROW_BYTES);
            int end = t * budget + read;
            for (int k = t * budget; k < end; k++) {
                int at = offsets[k];
                store(weight.fma(FloatVector.broadcast(FLOATS, coefficients[k]), load(sums, at)), sums, at);
            }
        }
    }

    /**
     * rows[t] = bias + Σ_k coefficient[t][k] · atoms[index[t][k]]: codes back to vectors.
     *
     * @param offsets of {@link #unpack} at a stride of a row of atoms
     * @param atoms fp32 {@code [latents, dims]}
     * @param rows fp32 {@code [count, dims]}
     */
    static void decode(
            int[] offsets,
            float[] coefficients,
            int budget,
            int read,
            int count,
            int dims,
            MemorySegment atoms,
            MemorySegment bias,
            MemorySegment rows) {
        long rowBytes = (long) dims * Float.BYTES;
        for (int t = 0; t < count; t++) {
            int begin = t * budget;
            int end = begin + read;
            int d = 0;
            for (; d <= dims - 4 * LANES; d += 4 * LANES) {
                long column = (long) d * Float.BYTES;
                FloatVector s0 = load(bias, column);
                FloatVector s1 = load(bias, column + ROW_BYTES);
                FloatVector s2 = load(bias, column + 2 * ROW_BYTES);
                FloatVector s3 = load(bias, column + 3 * ROW_BYTES);
                for (int k = begin; k < end; k++) {
                    FloatVector coefficient = FloatVector.broadcast(FLOATS, coefficients[k]);
                    long at = offsets[k] + column;
                    s0 = load(atoms, at).fma(coefficient, s0);
                    s1 = load(atoms, at + ROW_BYTES).fma(coefficient, s1);
                    s2 = load(atoms, at + 2 * ROW_BYTES).fma(coefficient, s2);
                    s3 = load(atoms, at + 3 * ROW_BYTES).fma(coefficient, s3);
                }
                long to = t * rowBytes + column;
                store(s0, rows, to);
                store(s1, rows, to + ROW_BYTES);
                store(s2, rows, to + 2 * ROW_BYTES);
                store(s3, rows, to + 3 * ROW_BYTES);
            }
            for (; d <= dims - LANES; d += LANES) {
                long column = (long) d * Float.BYTES;
                FloatVector sum = load(bias, column);
                for (int k = begin; k < end; k++) {
                    sum = load(atoms, offsets[k] + column).fma(FloatVector.broadcast(FLOATS, coefficients[k]), sum);
                }
                store(sum, rows, t * rowBytes + column);
            }
            for (; d < dims; d++) {
                long column = (long) d * Float.BYTES;
                float sum = bias.get(JAVA_FLOAT_UNALIGNED, column);
                for (int k = begin; k < end; k++) {
                    sum = Math.fma(atoms.get(JAVA_FLOAT_UNALIGNED, offsets[k] + column), coefficients[k], sum);
                }
                rows.set(JAVA_FLOAT_UNALIGNED, t * rowBytes + column, sum);
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
