package io.sparrowkv.store;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.OutOfMemoryException;
import org.apache.arrow.memory.RootAllocator;

/** Keeps blocks off-heap in this process, each in one Arrow buffer, up to a limit. */
public final class ArrowBlockStore implements BlockStore {
    private record Entry(CodeBlockLayout layout, ArrowBuf buffer) {}

    private final BufferAllocator allocator;
    private final Map<BlockKey, Entry> blocks = new HashMap<>();
    private long sequences;

    /** @param limit most bytes that blocks may take */
    public ArrowBlockStore(long limit) {
        if (limit < 1) {
            throw new InvalidInputException("a store of " + limit + " bytes; choose a positive limit");
        }
        // Exact sizes: Arrow's own policy rounds up to a power of two, and bytes are counted here, not claimed.
        allocator = new RootAllocator(RootAllocator.configBuilder()
                .maxAllocation(limit)
                .roundingPolicy(size -> size)
                .build());
    }

    @Override
    public synchronized void put(BlockKey key, CodeBlockLayout layout, MemorySegment body) {
        if (body.byteSize() != layout.byteSize()) {
            throw new IllegalArgumentException(
                    "body of %d bytes where %s has %d".formatted(body.byteSize(), layout, layout.byteSize()));
        }
        long size = layout.byteSize(body);
        ArrowBuf buffer = allocate(key, size);
        MemorySegment.copy(body, 0, memory(buffer), 0, size);
        Entry earlier = blocks.put(key, new Entry(layout, buffer));
        if (earlier != null) {
            earlier.buffer().close();
        }
    }

    @Override
    public synchronized Optional<BlockLease> get(BlockKey key) {
        Entry entry = blocks.get(key);
        return entry == null ? Optional.empty() : Optional.of(new Lease(entry));
    }

    @Override
    public synchronized boolean contains(BlockKey key) {
        return blocks.containsKey(key);
    }

    @Override
    public synchronized boolean remove(BlockKey key) {
        Entry entry = blocks.remove(key);
        if (entry != null) {
            entry.buffer().close();
        }
        return entry != null;
    }

    @Override
    public synchronized List<BlockKey> keys() {
        return List.copyOf(blocks.keySet());
    }

    @Override
    public synchronized StoreStatistics statistics() {
        return new StoreStatistics(blocks.size(), allocator.getAllocatedMemory(), allocator.getLimit());
    }

    @Override
    public synchronized long openSequence() {
        return ++sequences;
    }

    @Override
    public synchronized void close() {
        blocks.values().forEach(entry -> entry.buffer().close());
        blocks.clear();
        allocator.close();
    }

    private ArrowBuf allocate(BlockKey key, long size) {
        try {
            return allocator.buffer(size);
        } catch (OutOfMemoryException e) {
            throw new InvalidInputException(
                    "%s: a block of %d bytes does not fit in the store, %d of %d bytes are taken; raise its limit or lower the budgets"
                            .formatted(key.site(), size, allocator.getAllocatedMemory(), allocator.getLimit()),
                    e);
        }
    }

    private static MemorySegment memory(ArrowBuf buffer) {
        return MemorySegment.ofAddress(buffer.memoryAddress()).reinterpret(buffer.capacity());
    }

    private static final class Lease implements BlockLease {
        private final CodeBlockLayout layout;
        private final ArrowBuf buffer;
        private final MemorySegment body;

        Lease(Entry entry) {
            layout = entry.layout();
            buffer = entry.buffer();
            buffer.getReferenceManager().retain();
            body = memory(buffer);
        }

        @Override
        public CodeBlockLayout layout() {
            return layout;
        }

        @Override
        public MemorySegment body() {
            return body;
        }

        @Override
        public void close() {
            buffer.getReferenceManager().release();
        }
    }
}
