package io.sparrowkv.store.chronicle;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/**
 * The bytes of a slot: one layer's vectors of one block of tokens, in two parts that are written and checked each for itself, keys
 * (part 0) and values (part 1). Little-endian.
 *
 * <pre>
 * offset  type          content
 * 0       int64         prefix: identifies the tokens up to the end of the block
 * 8       int64         layer
 * 16      int64 [2]     of each part: 0 when it is absent, else bit 32 and the CRC-32C of prefix, layer, part number and its bytes
 * 32      int64 [2]     of each part: the epoch in which it was last checked
 * 64      bytes         part 0, then part 1; in {@code blocks.dat} code blocks, in {@code dense.dat} fp32 [tokens, kvHeads, dHead]
 * </pre>
 */
final class BlockSlot {
    static final long HEADER_BYTES = 64;

    /** Parts of a slot. */
    static final int PARTS = 2;

    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final VarHandle WORD = LONG.varHandle();
    private static final long STATE = 16;
    private static final long EPOCH = 32;
    private static final long PRESENT = 1L << 32;

    private BlockSlot() {}

    /** Makes an empty slot of one whose content is undefined. */
    static void clear(MemorySegment slot, long prefix, long layer) {
        slot.asSlice(0, HEADER_BYTES).fill((byte) 0);
        slot.set(LONG, 0, prefix);
        slot.set(LONG, 8, layer);
    }

    static boolean has(MemorySegment slot, int part) {
        return state(slot, part) != 0;
    }

    /** Writes a part, in such an order that nobody takes it for there before it is. */
    static void write(MemorySegment slot, int part, long offset, MemorySegment body, long epoch) {
        WORD.setVolatile(slot, STATE + (long) part * Long.BYTES, 0L);
        MemorySegment.copy(body, 0, slot, offset, body.byteSize());
        slot.set(LONG, EPOCH + (long) part * Long.BYTES, epoch);
        WORD.setVolatile(slot, STATE + (long) part * Long.BYTES, checksum(slot, part, body));
    }

    /** Drops a part; its room stays the slot's. */
    static void drop(MemorySegment slot, int part) {
        WORD.setVolatile(slot, STATE + (long) part * Long.BYTES, 0L);
    }

    /** Whether a part is there and right, as far as was looked at in this epoch; looks at it when it was not. */
    static boolean check(MemorySegment slot, int part, long offset, long bytes, long epoch) {
        long epochAt = EPOCH + (long) part * Long.BYTES;
        if (!has(slot, part)) {
            return false;
        }
        if (slot.get(LONG, epochAt) == epoch) {
            return true;
        }
        boolean right = verify(slot, part, offset, bytes);
        if (right) {
            slot.set(LONG, epochAt, epoch);
        }
        return right;
    }

    /** Whether a part's bytes are those that were written. */
    static boolean verify(MemorySegment slot, int part, long offset, long bytes) {
        return state(slot, part) == checksum(slot, part, slot.asSlice(offset, bytes));
    }

    static long prefix(MemorySegment slot) {
        return slot.get(LONG, 0);
    }

    private static long state(MemorySegment slot, int part) {
        return (long) WORD.getVolatile(slot, STATE + (long) part * Long.BYTES);
    }

    private static long checksum(MemorySegment slot, int part, MemorySegment body) {
        CRC32C crc = new CRC32C();
        ByteBuffer name = ByteBuffer.allocate(2 * Long.BYTES + 1).order(ByteOrder.LITTLE_ENDIAN);
        name.putLong(slot.get(LONG, 0)).putLong(slot.get(LONG, 8)).put((byte) part);
        crc.update(name.array());
        crc.update(body.asByteBuffer());
        return PRESENT | crc.getValue();
    }
}
