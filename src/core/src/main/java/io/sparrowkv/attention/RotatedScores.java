package io.sparrowkv.attention;

import io.sparrowkv.codec.CodeBlockLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Scores of keys that were coded before RoPE, for a few queries of several KV heads, over a span of blocks. A key is decoded, turned and
 * multiplied with the queries slice by slice ({@link SlicedAtoms}); the heads share each reading of the angles, which would
 * else take as many bytes as half a dense cache.
 */
final class RotatedScores {
    /** Most floats of all heads' scores: 1 MiB, which bounds the span. */
    private static final int SPAN_SCORES = 1 << 18;

    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private final RotaryEmbedding rotary;
    private final int dHead;
    private final int width;
    private final int spanBlocks;
    private final UnpackedCodes codes;
    /** By head, fp32 {@code [slices, width, 2, PAIRS]}. */
    private final MemorySegment[] queries;
    /** By head, {@code [span, width]}. */
    private final float[][] scores;
    /** A slice of a block's keys, fp32 {@code [TOKENS, 2, PAIRS]}. */
    private final MemorySegment rows;
    /** What it adds to the scores, {@code [TOKENS, width]}. */
    private final float[] product;

    RotatedScores(Arena arena, RotaryEmbedding rotary, int dHead, int heads, int width, UnpackedCodes codes) {
        this.rotary = rotary;
        this.dHead = dHead;
        this.width = width;
        this.codes = codes;
        spanBlocks = Math.max(1, SPAN_SCORES / (heads * width * TOKENS));
        queries = new MemorySegment[heads];
        long bytes = (long) SlicedAtoms.slices(dHead) * width * SlicedAtoms.STRIDE;
        Arrays.setAll(queries, head -> arena.allocate(bytes, 64));
        scores = new float[heads][];
        rows = arena.allocate((long) TOKENS * SlicedAtoms.STRIDE, 64);
        product = new float[TOKENS * width];
    }

    /** Most blocks of a span. */
    int spanBlocks() {
        return spanBlocks;
    }

    /** The scores of the last span for the n-th head, {@code [tokens of the span, width]}. */
    float[] scores(int head) {
        return scores[head];
    }

    /** Takes the queries of the n-th head, fp32 {@code [width, dHead]}. */
    void takeQueries(int head, MemorySegment rows) {
        for (int slice = 0; slice < SlicedAtoms.slices(dHead); slice++) {
            for (int column = 0; column < width; column++) {
                long from = (long) column * dHead * Float.BYTES;
                SlicedAtoms.cut(rows, from, dHead, slice, queries[head], query(slice, column));
            }
        }
    }

    /**
     * Scores a span.
     *
     * @param firstHead KV head that is the first here
     * @param heads KV heads, which share their atoms
     * @param used queries of each
     * @param tokens tokens from the first block on, of which the last block may not be full
     */
    void score(
            AttentionCall call,
            CodedSite keys,
            SlicedAtoms atoms,
            int firstHead,
            int heads,
            int used,
            int firstBlock,
            int tokens) {
        for (int head = 0; head < heads; head++) {
            int length = Math.ceilDiv(tokens, TOKENS) * TOKENS * width;
            if (scores[head] == null || scores[head].length < length) {
                scores[head] = new float[length];
            } else {
                Arrays.fill(scores[head], 0, length, 0f);
            }
        }
        for (int slice = 0; slice < SlicedAtoms.slices(dHead); slice++) {
            for (int t = 0; t < tokens; t += TOKENS) {
                int count = Math.min(TOKENS, tokens - t);
                for (int head = 0; head < heads; head++) {
                    score(
                            call,
                            keys,
                            atoms,
                            slice,
                            firstHead + head,
                            firstBlock + t / TOKENS,
                            count,
                            used,
                            queries[head]);
                    Lanes.add(product, scores[head], t * width, product.length);
                }
            }
        }
    }

    /** product[t, q] = the rotated slice of key t · the slice of query q. Where the last slice is not full, atoms and queries are 0. */
    private void score(
            AttentionCall call,
            CodedSite keys,
            SlicedAtoms atoms,
            int slice,
            int kvHead,
            int block,
            int count,
            int used,
            MemorySegment headQueries) {
        int firstPair = slice * SlicedAtoms.PAIRS;
        int pairs = Math.min(SlicedAtoms.PAIRS, dHead / 2 - firstPair);
        int position = call.sinks + block * TOKENS;
        keys.unpack(codes, block, kvHead, count, SlicedAtoms.STRIDE);
        BlockDecoder.decode(
                codes, call.readKey, count, 2 * SlicedAtoms.PAIRS, atoms.atoms(slice), atoms.bias(slice), rows);
        rotary.rotateSlices(rows, count, SlicedAtoms.PAIRS, firstPair, pairs, position);
        RowKernels.dot(
                rows,
                0,
                SlicedAtoms.STRIDE,
                count,
                2 * SlicedAtoms.PAIRS,
                headQueries,
                query(slice, 0),
                used,
                product,
                width);
    }

    private long query(int slice, int column) {
        return ((long) slice * width + column) * SlicedAtoms.STRIDE;
    }
}
