package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;

import java.lang.foreign.MemorySegment;

/**
 * Where the rows of a counted block lie: the offsets of its heads and the counts of its rows, as {@link CodeBlockLayout} describes them.
 *
 * <p>A block that is being filled has its heads as far apart as they can get, so that each may grow by itself; {@link #close} moves them
 * together.
 *
 * @param heads codes of a token
 * @param countBits bits of a count
 * @param headBytes most bytes of a head: counts and rows
 */
record CountedRows(int heads, int countBits, int headBytes) {
    /** Boundary in bytes of the data and of a closed block: the Arrow format asks for no more, and a small block should not be padded to more. */
    private static final int ALIGNMENT = Long.BYTES;

    /** Bits that hold 0 to {@code most}. */
    static int bits(int most) {
        return Integer.SIZE - Integer.numberOfLeadingZeros(most);
    }

    /** Where the data begin, behind the offsets. */
    long data() {
        return aligned((heads + 1L) * Integer.BYTES);
    }

    /** Bytes of the offsets and the counts. */
    long indexBytes() {
        return data() + heads * countBytes();
    }

    /** Bytes of a head's counts. */
    private long countBytes() {
        return (long) CodeBlockLayout.TOKENS * countBits / Byte.SIZE;
    }

    /** Most bytes of a block. */
    long mostBytes() {
        return aligned(data() + (long) heads * headBytes);
    }

    /** Bytes of a closed block. */
    long byteSize(MemorySegment body) {
        return aligned(data() + dataBytes(body));
    }

    /** Bytes of the data of a block. */
    long dataBytes(MemorySegment body) {
        return offset(body, heads);
    }

    /** Makes room for a head's rows. */
    void open(MemorySegment body, int head) {
        setOffset(body, head, head * headBytes);
        setOffset(body, head + 1, (head + 1) * headBytes);
    }

    /** Where a head's rows begin in the block. */
    long firstRow(MemorySegment body, int head) {
        return counts(body, head) + countBytes();
    }

    /** Pairs of a row. */
    int count(MemorySegment body, int head, int token) {
        int bit = token * countBits;
        return word(body, head, bit) >>> (bit & Byte.SIZE - 1) & mask();
    }

    void setCount(MemorySegment body, int head, int token, int count) {
        int bit = token * countBits;
        int shift = bit & Byte.SIZE - 1;
        int word = word(body, head, bit) & ~(mask() << shift) | count << shift;
        body.set(JAVA_INT_UNALIGNED, counts(body, head) + (bit >>> 3), word);
    }

    /**
     * Moves the heads together and fills the rest with zeros.
     *
     * @param ends behind the last row of each head
     */
    void close(MemorySegment body, long[] ends) {
        int to = 0;
        for (int head = 0; head < heads; head++) {
            long from = counts(body, head);
            int bytes = (int) (ends[head] - from);
            MemorySegment.copy(body, from, body, data() + to, bytes);
            setOffset(body, head, to);
            to += bytes;
        }
        setOffset(body, heads, to);
        body.asSlice(data() + to, mostBytes() - data() - to).fill((byte) 0);
    }

    private int mask() {
        return (1 << countBits) - 1;
    }

    /** Four bytes always hold a count, and never reach past the scales of the rows behind. */
    private int word(MemorySegment body, int head, int bit) {
        return body.get(JAVA_INT_UNALIGNED, counts(body, head) + (bit >>> 3));
    }

    private long counts(MemorySegment body, int head) {
        return data() + offset(body, head);
    }

    private static int offset(MemorySegment body, int head) {
        return body.get(JAVA_INT, (long) head * Integer.BYTES);
    }

    private static void setOffset(MemorySegment body, int head, int offset) {
        body.set(JAVA_INT, (long) head * Integer.BYTES, offset);
    }

    private static long aligned(long bytes) {
        return bytes + ALIGNMENT - 1 & -ALIGNMENT;
    }
}
