package io.sparrowkv.capture;

import java.util.Set;

/**
 * Keys and values by chunks: one pass of a model over a window of text, or a stretch of a trace file. A chunk can be read at any time,
 * in any order, and gives the same vectors each time: so a reader's position is a number, which it can save and come back to, and
 * the order of reading, epochs and a held-out part are the reader's to choose.
 *
 * <p>All layers of a chunk come in one {@link #read}, since a model pass yields them together; nothing is kept between reads, so
 * memory is bounded by one chunk. A source is used by one thread at a time.
 */
public interface VectorSource extends AutoCloseable {
    VectorOrigin origin();

    /** The taps this source can yield. */
    Set<Tap> taps();

    /** Number of chunks, at least 1. */
    long chunks();

    /**
     * Hands the vectors of a chunk to {@code sink}: one call for each layer and tap that it wants, layers in order.
     *
     * @param chunk index of the chunk, in {@code [0, chunks())}
     * @throws io.sparrowkv.io.InvalidInputException when the sink wants a tap that {@link #taps} lacks, or the data is broken
     */
    void read(long chunk, VectorSink sink);

    @Override
    void close();
}
