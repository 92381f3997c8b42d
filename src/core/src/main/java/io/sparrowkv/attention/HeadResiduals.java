package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * What the residuals of codes add to the attention of a few queries of one KV head. In the rotated space of their codec
 * ({@link ResidualRows#decodeRotated}) they are levels times a scale: queries are turned into it once, and sums of values out of it once,
 * for all blocks of a task. Only keys coded before RoPE are turned out of it one by one, to be turned on by their positions.
 */
final class HeadResiduals {
    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private final RotaryEmbedding rotary;
    private final int dHead;
    private final int width;
    private final ResidualRows residuals;
    private final float[] vector;
    private final float[] product;
    /** fp32 {@code [width, numbers]}, times the scale of attention: of keys before RoPE as they are, else in the rotated space. */
    private final MemorySegment queries;
    /** Weighted sums of residuals in the rotated space, fp32 {@code [width, numbers]}. */
    private final MemorySegment sums;

    /**
     * @param width queries, a multiple of {@link RowKernels#TILE}
     * @param residuals of the thread
     * @param product of the thread, {@code [TOKENS, width]}
     */
    HeadResiduals(Arena arena, RotaryEmbedding rotary, int dHead, int width, ResidualRows residuals, float[] product) {
        this.rotary = rotary;
        this.dHead = dHead;
        this.width = width;
        this.residuals = residuals;
        this.product = product;
        vector = new float[residuals.numbers()];
        queries = arena.allocate((long) width * vector.length * Float.BYTES, 64);
        sums = arena.allocate((long) width * vector.length * Float.BYTES, 64);
    }

    /**
     * Takes queries, and forgets what was summed.
     *
     * @param headQueries fp32 {@code [width, dHead]}, times the scale of attention
     * @param used how many there are
     */
    void begin(AttentionCall call, int kvHead, MemorySegment headQueries, int used) {
        sums.fill((byte) 0);
        if (!(call.keys instanceof CodedSite keys) || !keys.readsResiduals(call.readKey)) {
            return;
        }
        if (call.rotatesKeys) {
            MemorySegment.copy(headQueries, 0, queries, 0, headQueries.byteSize());
            return;
        }
        for (int column = 0; column < used; column++) {
            Arrays.fill(vector, 0f);
            long from = (long) column * dHead * Float.BYTES;
            MemorySegment.copy(headQueries, JAVA_FLOAT, from, vector, keys.column(kvHead), dHead);
            keys.residualCodec().rotate(vector);
            MemorySegment.copy(vector, 0, queries, JAVA_FLOAT, column * rowBytes(), vector.length);
        }
    }

    /**
     * Adds to the scores of a block's keys what their residuals are worth, if they are read.
     *
     * @param scores {@code [count, width]} from {@code at} on, with room for whole vectors
     */
    void addScores(AttentionCall call, int kvHead, int block, int count, int used, float[] scores, int at) {
        if (!(call.keys instanceof CodedSite keys) || !keys.readsResiduals(call.readKey)) {
            return;
        }
        int dims = vector.length;
        if (call.rotatesKeys) {
            dims = dHead;
            residuals.decode(keys, kvHead, block, count);
            rotary.rotate(residuals.rows(), 0, count, 1, call.sinks + block * TOKENS);
        } else {
            residuals.decodeRotated(keys, kvHead, block, count);
        }
        long stride = (long) dims * Float.BYTES;
        RowKernels.dot(residuals.rows(), 0, stride, count, dims, queries, 0, used, product, width);
        Lanes.add(product, scores, at, product.length);
    }

    /** Adds up a block's residuals of values, if they are read. @param weights {@code [count, width]} from {@code at} on */
    void addValues(AttentionCall call, int kvHead, int block, int count, int used, float[] weights, int at) {
        if (call.values instanceof CodedSite values && values.readsResiduals(call.readValue)) {
            residuals.decodeRotated(values, kvHead, block, count);
            RowKernels.accumulate(
                    residuals.rows(), 0, rowBytes(), count, vector.length, weights, at, width, used, sums);
        }
    }

    /** Multiplies what was summed. @param factors by column */
    void rescale(float[] factors) {
        Lanes.scaleRows(sums, width, vector.length, factors);
    }

    /** Adds what was summed to weighted sums of values. @param valueSums fp32 {@code [width, dHead]} */
    void addSums(AttentionCall call, int kvHead, int used, MemorySegment valueSums) {
        if (!(call.values instanceof CodedSite values) || !values.readsResiduals(call.readValue)) {
            return;
        }
        int first = values.column(kvHead);
        for (int column = 0; column < used; column++) {
            MemorySegment.copy(sums, JAVA_FLOAT, column * rowBytes(), vector, 0, vector.length);
            values.residualCodec().rotateBack(vector);
            for (int d = 0; d < dHead; d++) {
                long at = (long) column * dHead + d;
                valueSums.setAtIndex(JAVA_FLOAT, at, valueSums.getAtIndex(JAVA_FLOAT, at) + vector[first + d]);
            }
        }
    }

    private long rowBytes() {
        return (long) vector.length * Float.BYTES;
    }
}
