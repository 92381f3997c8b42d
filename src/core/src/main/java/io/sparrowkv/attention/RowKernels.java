package io.sparrowkv.attention;

import static io.sparrowkv.attention.Lanes.LANES;
import static io.sparrowkv.attention.Lanes.load;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Products of a few queries with many rows: dense keys and values, decoded keys, and the atoms of a dictionary. Scalars are read as
 * unaligned: the check of an aligned read costs more than the read in these loops.
 *
 * <p>Nothing in a process that attends may turn a {@link FloatVector} into one of other lanes by its bits ({@code reinterpretAsInts},
 * {@code viewAsIntegralLanes}). Until the JIT's last stage has compiled such a call it goes through an array of bytes, which the same method
 * stores that stores vectors into native memory; the JIT then compiles each store of a vector, here and everywhere, for both kinds of
 * memory, and loops that store took up to four times as long (JDK 25). The other way round, ints to floats, does no harm.
 */
final class RowKernels {
    /** Rows, or queries, that are taken together: as many sums as it takes to hide the latency of a multiply-add. */
    static final int TILE = 4;

    private RowKernels() {}

    /**
     * scores[r, q] = rows[r] · queries[q].
     *
     * @param rows fp32 rows of {@code dims}, {@code stride} bytes apart, the first at {@code offset}
     * @param count rows; up to {@link #TILE} − 1 scores more are written, of no meaning
     * @param queries fp32 {@code [used, dims]} from {@code queriesAt} on
     * @param scores {@code [count, width]}
     */
    static void dot(
            MemorySegment rows,
            long offset,
            long stride,
            int count,
            int dims,
            MemorySegment queries,
            long queriesAt,
            int used,
            float[] scores,
            int width) {
        for (int r = 0; r < count; r += TILE) {
            long at0 = offset + r * stride;
            long at1 = r + 1 < count ? at0 + stride : at0;
            long at2 = r + 2 < count ? at1 + stride : at0;
            long at3 = r + 3 < count ? at2 + stride : at0;
            for (int q = 0; q < used; q++) {
                long query = queriesAt + (long) q * dims * Float.BYTES;
                FloatVector s0 = FloatVector.zero(Lanes.FLOATS);
                FloatVector s1 = s0;
                FloatVector s2 = s0;
                FloatVector s3 = s0;
                int d = 0;
                for (; d <= dims - LANES; d += LANES) {
                    long column = (long) d * Float.BYTES;
                    FloatVector x = load(queries, query + column);
                    s0 = load(rows, at0 + column).fma(x, s0);
                    s1 = load(rows, at1 + column).fma(x, s1);
                    s2 = load(rows, at2 + column).fma(x, s2);
                    s3 = load(rows, at3 + column).fma(x, s3);
                }
                float t0 = s0.reduceLanes(VectorOperators.ADD);
                float t1 = s1.reduceLanes(VectorOperators.ADD);
                float t2 = s2.reduceLanes(VectorOperators.ADD);
                float t3 = s3.reduceLanes(VectorOperators.ADD);
                for (; d < dims; d++) {
                    long column = (long) d * Float.BYTES;
                    float x = queries.get(JAVA_FLOAT_UNALIGNED, query + column);
                    t0 = Math.fma(rows.get(JAVA_FLOAT_UNALIGNED, at0 + column), x, t0);
                    t1 = Math.fma(rows.get(JAVA_FLOAT_UNALIGNED, at1 + column), x, t1);
                    t2 = Math.fma(rows.get(JAVA_FLOAT_UNALIGNED, at2 + column), x, t2);
                    t3 = Math.fma(rows.get(JAVA_FLOAT_UNALIGNED, at3 + column), x, t3);
                }
                int to = r * width + q;
                scores[to] = t0;
                scores[to + width] = t1;
                scores[to + 2 * width] = t2;
                scores[to + 3 * width] = t3;
            }
        }
    }

    /**
     * sums[q] += Σ_r weights[r, q] · rows[r].
     *
     * @param rows as of {@link #dot}
     * @param weights {@code [count, width]} from {@code weightsAt} on
     * @param width a multiple of {@link #TILE}
     * @param used queries; sums of up to {@link #TILE} − 1 more are written
     * @param sums fp32 {@code [width, dims]}
     */
    static void accumulate(
            MemorySegment rows,
            long offset,
            long stride,
            int count,
            int dims,
            float[] weights,
            int weightsAt,
            int width,
            int used,
            MemorySegment sums) {
        int weightsEnd = weightsAt + count * width;
        for (int q = 0; q < used; q += TILE) {
            long to0 = (long) q * dims * Float.BYTES;
            long to1 = to0 + (long) dims * Float.BYTES;
            long to2 = to1 + (long) dims * Float.BYTES;
            long to3 = to2 + (long) dims * Float.BYTES;
            int d = 0;
            for (; d <= dims - LANES; d += LANES) {
                long column = (long) d * Float.BYTES;
                FloatVector s0 = load(sums, to0 + column);
                FloatVector s1 = load(sums, to1 + column);
                FloatVector s2 = load(sums, to2 + column);
                FloatVector s3 = load(sums, to3 + column);
                long at = offset + column;
                for (int w = weightsAt + q; w < weightsEnd; w += width) {
                    FloatVector row = load(rows, at);
                    s0 = row.fma(Lanes.broadcast(weights[w]), s0);
                    s1 = row.fma(Lanes.broadcast(weights[w + 1]), s1);
                    s2 = row.fma(Lanes.broadcast(weights[w + 2]), s2);
                    s3 = row.fma(Lanes.broadcast(weights[w + 3]), s3);
                    at += stride;
                }
                s0.intoMemorySegment(sums, to0 + column, Lanes.ORDER);
                s1.intoMemorySegment(sums, to1 + column, Lanes.ORDER);
                s2.intoMemorySegment(sums, to2 + column, Lanes.ORDER);
                s3.intoMemorySegment(sums, to3 + column, Lanes.ORDER);
            }
            for (; d < dims; d++) {
                for (int i = 0; i < TILE; i++) {
                    long to = to0 + ((long) i * dims + d) * Float.BYTES;
                    float sum = sums.get(JAVA_FLOAT_UNALIGNED, to);
                    for (int r = 0; r < count; r++) {
                        float x = rows.get(JAVA_FLOAT_UNALIGNED, offset + r * stride + (long) d * Float.BYTES);
                        sum = Math.fma(x, weights[weightsAt + r * width + q + i], sum);
                    }
                    sums.set(JAVA_FLOAT_UNALIGNED, to, sum);
                }
            }
        }
    }
}
