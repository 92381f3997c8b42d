package io.sparrowkv.io;

import java.lang.foreign.Arena;
import org.apache.arrow.memory.AllocationManager;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.ReferenceManager;

/** Arrow memory from the Foreign Memory API: one arena a buffer, neither Netty nor Unsafe. */
public final class NativeAllocation extends AllocationManager {
    /** What the Arrow format recommends, and a cache line. */
    private static final int ALIGNMENT = 64;

    public static final AllocationManager.Factory FACTORY = new AllocationManager.Factory() {
        private final ArrowBuf empty = new ArrowBuf(ReferenceManager.NO_OP, null, 0, 0);

        @Override
        public AllocationManager create(BufferAllocator allocator, long size) {
            return new NativeAllocation(allocator, size);
        }

        @Override
        public ArrowBuf empty() {
            return empty;
        }
    };

    private final Arena arena = Arena.ofShared();
    private final long size;
    private final long address;

    private NativeAllocation(BufferAllocator allocator, long size) {
        super(allocator);
        this.size = size;
        this.address = arena.allocate(size, ALIGNMENT).address();
    }

    @Override
    public long getSize() {
        return size;
    }

    @Override
    protected long memoryAddress() {
        return address;
    }

    @Override
    protected void release0() {
        arena.close();
    }
}
