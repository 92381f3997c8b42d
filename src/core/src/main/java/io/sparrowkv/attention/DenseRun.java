package io.sparrowkv.attention;

import java.lang.foreign.MemorySegment;

/** Dense keys and values of consecutive tokens, those of a head one after the other; set anew for each call, never allocated. */
final class DenseRun {
    MemorySegment keys;
    MemorySegment values;
    long offset;
    long headStride;
    int firstToken;
    int tokens;

    void set(MemorySegment keys, MemorySegment values, long offset, long headStride, int firstToken, int tokens) {
        this.keys = keys;
        this.values = values;
        this.offset = offset;
        this.headStride = headStride;
        this.firstToken = firstToken;
        this.tokens = tokens;
    }
}
