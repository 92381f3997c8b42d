package org.apache.arrow.memory.unsafe;

import io.sparrowkv.io.NativeAllocation;
import org.apache.arrow.memory.AllocationManager;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;

/**
 * Arrow's default memory: {@link NativeAllocation}. Arrow finds its default by this name and no setting replaces it, even where
 * every allocator is given its own; so the name is taken here, in place of the artifact that goes through {@code Unsafe}.
 */
public final class DefaultAllocationManagerFactory implements AllocationManager.Factory {
    public static final AllocationManager.Factory FACTORY = new DefaultAllocationManagerFactory();

    private DefaultAllocationManagerFactory() {}

    @Override
    public AllocationManager create(BufferAllocator allocator, long size) {
        return NativeAllocation.FACTORY.create(allocator, size);
    }

    @Override
    public ArrowBuf empty() {
        return NativeAllocation.FACTORY.empty();
    }
}
