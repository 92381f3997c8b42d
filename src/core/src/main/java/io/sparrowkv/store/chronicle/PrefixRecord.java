package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.zip.CRC32C;

/**
 * The bytes of a prefix in {@code prefixes.dat}: the tokens that it adds to the prefix before it. Little-endian.
 *
 * <pre>
 * offset  type          content
 * 0       int64         the prefix before it
 * 8       int32         tokens up to its end; −1 for blocks that were put without tokens
 * 12      int32         number of its own tokens, at most 64
 * 16      int32 [64]    token ids
 * 272     int64         CRC-32C of bytes 0 to 272
 * 280     int64         when it was last used, in milliseconds since 1970: not in the checksum
 * </pre>
 */
final class PrefixRecord {
    static final long BYTES = 320;

    /** {@link #end} of a prefix that has no tokens. */
    static final int ANONYMOUS = -1;

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG;
    private static final long TOKENS_AT = 16;
    private static final long CHECKSUM_AT = TOKENS_AT + (long) CodeBlockLayout.TOKENS * Integer.BYTES;
    private static final long USED_AT = CHECKSUM_AT + Long.BYTES;

    private PrefixRecord() {}

    static void write(MemorySegment record, long parent, int end, int[] tokens, int from, int to, long now) {
        record.fill((byte) 0);
        record.set(LONG, 0, parent);
        record.set(INT, 8, end);
        record.set(INT, 12, to - from);
        for (int i = from; i < to; i++) {
            record.set(INT, TOKENS_AT + (long) (i - from) * Integer.BYTES, tokens[i]);
        }
        record.set(LONG, CHECKSUM_AT, checksum(record));
        record.set(LONG, USED_AT, now);
    }

    /** Whether the record is right and says just this. */
    static boolean matches(MemorySegment record, long parent, int end, int[] tokens, int from, int to) {
        boolean same = intact(record)
                && record.get(LONG, 0) == parent
                && record.get(INT, 8) == end
                && record.get(INT, 12) == to - from;
        for (int i = from; same && i < to; i++) {
            same = record.get(INT, TOKENS_AT + (long) (i - from) * Integer.BYTES) == tokens[i];
        }
        return same;
    }

    static boolean intact(MemorySegment record) {
        return record.get(LONG, CHECKSUM_AT) == checksum(record);
    }

    static long parent(MemorySegment record) {
        return record.get(LONG, 0);
    }

    static int end(MemorySegment record) {
        return record.get(INT, 8);
    }

    static int[] tokens(MemorySegment record) {
        int count = Math.clamp(record.get(INT, 12), 0, CodeBlockLayout.TOKENS);
        return record.asSlice(TOKENS_AT, (long) count * Integer.BYTES).toArray(INT);
    }

    static long used(MemorySegment record) {
        return record.get(LONG, USED_AT);
    }

    static void use(MemorySegment record, long now) {
        record.set(LONG, USED_AT, now);
    }

    private static long checksum(MemorySegment record) {
        CRC32C crc = new CRC32C();
        crc.update(record.asSlice(0, CHECKSUM_AT).asByteBuffer());
        return 1L << 32 | crc.getValue();
    }
}
