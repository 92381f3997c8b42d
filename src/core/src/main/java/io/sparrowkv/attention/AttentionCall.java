package io.sparrowkv.attention;

import io.sparrowkv.codec.CodeBlockLayout;
import java.lang.foreign.MemorySegment;

/** One call of attention: a chunk's queries and what they read. Reused from call to call. */
final class AttentionCall {
    final AttentionShape shape;
    final int window;
    final int sinks;
    final DenseRun sinkRun = new DenseRun();
    /** The tail, which may wrap around its ring, and the chunk itself. */
    final DenseRun[] tailRuns = {new DenseRun(), new DenseRun(), new DenseRun()};

    int tailRunCount;
    MemorySegment queries = MemorySegment.NULL;
    MemorySegment output = MemorySegment.NULL;
    int start;
    int queriesPerHead;
    int slidingWindow;
    KvSite keys;
    KvSite values;
    int readKey;
    int readValue;
    boolean rotatesKeys;

    AttentionCall(AttentionShape shape, CacheOptions options) {
        this.shape = shape;
        this.window = options.window();
        this.sinks = options.sinks();
    }

    /** Blocks that the last query reads, all or in part. */
    int blocks() {
        int last = start + queriesPerHead / shape.group() - 1;
        int from = slidingWindow == AttentionShape.UNLIMITED ? 0 : Math.max(0, last + 1 - slidingWindow - sinks);
        int end = coded(last, window, sinks, CodeBlockLayout.TOKENS);
        return Math.max(0, Math.ceilDiv(end, CodeBlockLayout.TOKENS) - from / CodeBlockLayout.TOKENS);
    }

    /** Coded tokens that a query at {@code position} reads as codes: the first ones after the sinks. */
    static int coded(int position, int window, int sinks, int block) {
        int old = Math.max(0, position + 1 - window - sinks);
        return window == 0 ? old : old / block * block;
    }
}
