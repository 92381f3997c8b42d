package io.sparrowkv.attention;

import java.lang.foreign.MemorySegment;

/** Dense keys and values of consecutive tokens at equal distances; set anew for each call, never allocated. */
final class DenseRun {
    MemorySegment keys = MemorySegment.NULL;
    MemorySegment values = MemorySegment.NULL;
    private long offset;
    private long headStride;
    long tokenStride;
    int firstToken;
    int tokens;

    /**
     * @param offset bytes up to the first token of the first head
     * @param headStride bytes from a head to the next
     * @param tokenStride bytes from a token to the next
     */
    void set(
            MemorySegment keys,
            MemorySegment values,
            long offset,
            long headStride,
            long tokenStride,
            int firstToken,
            int tokens) {
        this.keys = keys;
        this.values = values;
        this.offset = offset;
        this.headStride = headStride;
        this.tokenStride = tokenStride;
        this.firstToken = firstToken;
        this.tokens = tokens;
    }

    /** Where the vector of a head's n-th token lies, in keys and values alike. */
    long at(int head, int token) {
        return offset + head * headStride + token * tokenStride;
    }
}
