package io.sparrowkv.stream;

import java.lang.foreign.MemorySegment;

/** Where the vectors of one site go as they are. */
public interface VectorTarget extends BatchTarget {
    /**
     * Takes the vectors of consecutive tokens.
     *
     * @param vectors fp32 {@code [tokens, kvHeads, dHead]}, valid during the call only
     * @param firstToken the first token, counted from the site's first coded one
     */
    void accept(MemorySegment vectors, int firstToken, int tokens);
}
