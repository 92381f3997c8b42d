package io.sparrowkv.store;

import io.sparrowkv.codec.CodeBlockLayout;
import java.lang.foreign.MemorySegment;

/** A block that is being read: its memory stays as it is until the lease is closed, even when the store drops the block. */
public interface BlockLease extends AutoCloseable {
    CodeBlockLayout layout();

    /** The block's bytes in place, laid out as {@link CodeBlockLayout} says; read-only by contract, not to be used after {@link #close}. */
    MemorySegment body();

    /** Gives the block back; once. */
    @Override
    void close();
}
