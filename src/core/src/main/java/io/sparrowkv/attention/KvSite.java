package io.sparrowkv.attention;

import io.sparrowkv.sae.Site;
import io.sparrowkv.stream.BatchTarget;

/**
 * The old tokens of one site of a sequence, in blocks: codes over a dictionary, quantized vectors, or transform-coded ones. The background thread fills; the
 * attending thread reads what {@link #tokens} covers, and releases.
 */
sealed interface KvSite extends BatchTarget, AutoCloseable permits CodedSite, QuantizedSite, TransformedSite {
    /** The layer's keys or values that it holds. */
    Site site();

    /** Whether keys are kept as they were before RoPE, to be turned when they are read. */
    boolean beforeRope();

    /** Gives up the blocks before {@code block}, as far as they are full. */
    void release(int block);

    /** Full blocks that are held. */
    int blocks();

    /** Bytes of the full blocks that are held, and with {@code open} of the one that is being filled. */
    CacheBytes.Codes bytes(boolean open);

    @Override
    void close();
}
