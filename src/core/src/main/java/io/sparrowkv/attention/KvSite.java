package io.sparrowkv.attention;

import io.sparrowkv.sae.Site;
import io.sparrowkv.stream.BatchTarget;

/**
 * The old tokens of one site of a sequence, in blocks: codes over a dictionary, or quantized vectors. The background thread fills; the
 * attending thread reads what {@link #tokens} covers, and releases.
 */
sealed interface KvSite extends BatchTarget, AutoCloseable permits CodedSite, QuantizedSite {
    /** The layer's keys or values that it holds. */
    Site site();

    /** Whether keys are kept as they were before RoPE, to be turned when they are read. */
    boolean beforeRope();

    /** Gives up the blocks before {@code block}, as far as they are full. */
    void release(int block);

    /** Full blocks that are held. */
    int blocks();

    /** Bytes of a block. */
    long blockBytes();

    /** Bytes of the atom indices in a block. */
    long indexBytes();

    /** Bytes of the levels of residuals in a block. */
    long residualBytes();

    /** Bytes of the scales in a block. */
    long scaleBytes();

    @Override
    void close();
}
