package io.sparrowkv.attention;

import static io.sparrowkv.attention.LaneKernels.LANES;

import java.lang.foreign.MemorySegment;

/**
 * One call of attention: a chunk's queries, what they read, and how they are laid out in panels. Reused from call to call.
 *
 * <p>The lanes of a KV head are the query heads of its group, token by token. Where all heads share their dictionaries the lanes
 * of the heads follow each other without a gap, so that a panel may hold the lanes of several; else each head begins a panel.
 */
final class AttentionCall {
    final AttentionShape shape;
    final int window;
    final int sinks;
    final DenseRun sinkRun = new DenseRun();
    /** The tail, which may wrap around its ring, and the chunk itself. */
    final DenseRun[] tailRuns = {new DenseRun(), new DenseRun(), new DenseRun()};

    int tailRunCount;
    MemorySegment queries;
    MemorySegment output;
    int start;
    int tokens;
    int slidingWindow;
    CodedSite keys;
    CodedSite values;
    int readKey;
    int readValue;
    boolean rotatesKeys;
    int lanesPerHead;
    int panels;
    private int headStride;

    AttentionCall(AttentionShape shape, CacheOptions options) {
        this.shape = shape;
        this.window = options.window();
        this.sinks = options.sinks();
    }

    /** Lays the lanes of {@code tokens} tokens out in panels, at least {@code threads} of them if that is possible. */
    void layOut(int threads) {
        lanesPerHead = tokens * shape.group();
        boolean shared =
                keys.dictionaries().size() == 1 && values.dictionaries().size() == 1;
        int dense = lanesPerHead * shape.kvHeads();
        boolean spanning = shared && dense >= threads * LANES;
        headStride = spanning ? lanesPerHead : (lanesPerHead + LANES - 1) / LANES * LANES;
        panels = (headStride * shape.kvHeads() + LANES - 1) / LANES;
    }

    /** KV head of a lane; a lane past the last one is of the last head. */
    int head(int lane) {
        return Math.min(lane / headStride, shape.kvHeads() - 1);
    }

    /** Lane within its head, which from {@link #lanesPerHead} on is padding. */
    int laneInHead(int lane) {
        return lane - head(lane) * headStride;
    }

    /** Coded tokens that a query at {@code position} reads as codes: the first ones after the sinks. */
    static int coded(int position, int window, int sinks, int block) {
        int old = Math.max(0, position + 1 - window - sinks);
        return window == 0 ? old : old / block * block;
    }
}
