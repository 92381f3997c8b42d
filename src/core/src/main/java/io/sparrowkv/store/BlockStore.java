package io.sparrowkv.store;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;

/** Keeps code blocks by key. All methods may be called by several threads. */
public interface BlockStore extends AutoCloseable {
    /**
     * Keeps a copy of a block, in place of an earlier one of that key.
     *
     * @param body {@link CodeBlockLayout#byteSize()} bytes, closed; no more need be kept than
     *     {@link CodeBlockLayout#byteSize(MemorySegment)} of them
     * @throws InvalidInputException when the store is full; it is then as it was
     */
    void put(BlockKey key, CodeBlockLayout layout, MemorySegment body);

    /** Leases a block for reading in place; empty when the store does not have it. */
    Optional<BlockLease> get(BlockKey key);

    boolean contains(BlockKey key);

    /** Drops a block; its memory is freed with its last lease. Returns whether the store had it. */
    boolean remove(BlockKey key);

    /** The keys of all blocks, a snapshot in no order. */
    List<BlockKey> keys();

    StoreStatistics statistics();

    /** A number that no other sequence in this store has: the start of a prefix for tokens without an identity of their own. */
    long openSequence();

    /** Frees all blocks. @throws IllegalStateException when a lease was not closed: a leak */
    @Override
    void close();
}
