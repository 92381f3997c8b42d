package io.sparrowkv.capture;

import java.lang.foreign.MemorySegment;

/** Takes the vectors of a chunk as a source yields them, one layer and tap at a time. */
public interface VectorSink {
    /** Whether {@link #accept} is to be called for this layer and tap; a source saves the work where it is not. */
    boolean wants(int layer, Tap tap);

    /**
     * Takes one layer's vectors of one chunk.
     *
     * @param firstPosition position in its sequence of the first token
     * @param tokens number of tokens, the same for each layer and tap of a chunk
     * @param vectors fp32 {@code [tokens, kvHeads, dHead]}, row-major, native byte order; valid during the call only
     */
    void accept(int layer, Tap tap, int firstPosition, int tokens, MemorySegment vectors);
}
