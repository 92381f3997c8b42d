package io.sparrowkv.capture;

import java.lang.foreign.MemorySegment;
import org.apache.arrow.memory.ArrowBuf;

/** Arrow's memory seen through the Foreign Memory API. */
final class ArrowMemory {
    private ArrowMemory() {}

    /** The first bytes of a buffer; valid as long as the buffer is. */
    static MemorySegment segment(ArrowBuf buffer, long bytes) {
        if (bytes > buffer.capacity()) {
            throw new IndexOutOfBoundsException(bytes + " of " + buffer.capacity() + " bytes");
        }
        return MemorySegment.ofAddress(buffer.memoryAddress()).reinterpret(bytes);
    }
}
