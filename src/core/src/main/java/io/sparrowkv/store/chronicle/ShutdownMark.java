package io.sparrowkv.store.chronicle;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32C;

/**
 * Whether a store was closed in order, and how its files were left: the contents of {@link OwnerFile}, little-endian.
 *
 * <pre>
 * offset      type                     content
 * 0           int32                    format version, {@value #VERSION}
 * 4           int32                    process id of the last to open it
 * 8           int64                    openings since it was last clean
 * 16          int64                    closings since; equal to the openings when all was closed in order
 * 24          int64                    epoch: drawn anew by whoever opens it alone
 * 32          3 × {int64 length, segmentsOffset, segmentBytes, segments, headBytes, checksum}, of the map files, when it is clean
 * 176         int32                    CRC-32C of bytes 0 to 176
 * </pre>
 *
 * @param process id of the last to open the store, 0 when it is not known
 * @param epoch a number of the time since somebody opened the store alone: what was checked in it need not be checked again
 * @param seals of the map files as they were last described; with their checksums when the store is clean
 */
record ShutdownMark(int process, long openings, long closings, long epoch, List<Seal> seals) {
    private static final int VERSION = 1;
    private static final int FILES = 3;
    private static final int SEAL_BYTES = 6 * Long.BYTES;
    private static final int SEALS_AT = 32;
    private static final int CHECKSUM_AT = SEALS_AT + FILES * SEAL_BYTES;
    private static final int BYTES = CHECKSUM_AT + Integer.BYTES;

    /** What cannot be read was not closed in order. */
    private static final ShutdownMark UNREADABLE = new ShutdownMark(0, 1, 0, 0, List.of());

    /** A map file as its last owner left it. */
    record Seal(long length, FileStructure structure, int checksum) {}

    ShutdownMark {
        seals = List.copyOf(seals);
    }

    /** Whether the last owner closed the store in order. */
    boolean clean() {
        return openings == closings && seals.size() == FILES;
    }

    /** With one more owner, who begins a new epoch when alone. */
    ShutdownMark opened(boolean alone, int by, long newEpoch, List<Seal> described) {
        return alone
                ? new ShutdownMark(by, 1, 0, newEpoch, described)
                : new ShutdownMark(by, openings + 1, closings, epoch, described);
    }

    /** With one owner less. */
    ShutdownMark closed(List<Seal> described) {
        return new ShutdownMark(process, openings, closings + 1, epoch, described);
    }

    ShutdownMark sealed(List<Seal> sealed) {
        return new ShutdownMark(process, openings, closings, epoch, sealed);
    }

    static ShutdownMark read(FileChannel channel) throws IOException {
        ByteBuffer buffer = buffer();
        if (channel.read(buffer, 0) < BYTES
                || buffer.getInt(0) != VERSION
                || buffer.getInt(CHECKSUM_AT) != checksum(buffer)) {
            return UNREADABLE;
        }
        List<Seal> seals = new ArrayList<>();
        for (int at = SEALS_AT; at < CHECKSUM_AT; at += SEAL_BYTES) {
            if (buffer.getLong(at) > 0) {
                FileStructure structure = new FileStructure(
                        buffer.getLong(at + 8),
                        buffer.getLong(at + 16),
                        (int) buffer.getLong(at + 24),
                        buffer.getLong(at + 32));
                seals.add(new Seal(buffer.getLong(at), structure, (int) buffer.getLong(at + 40)));
            }
        }
        return new ShutdownMark(buffer.getInt(4), buffer.getLong(8), buffer.getLong(16), buffer.getLong(24), seals);
    }

    void write(FileChannel channel) throws IOException {
        ByteBuffer buffer = buffer();
        buffer.putInt(0, VERSION)
                .putInt(4, process)
                .putLong(8, openings)
                .putLong(16, closings)
                .putLong(24, epoch);
        int at = SEALS_AT;
        for (Seal seal : seals) {
            FileStructure structure = seal.structure();
            buffer.putLong(at, seal.length())
                    .putLong(at + 8, structure.segmentsOffset())
                    .putLong(at + 16, structure.segmentBytes())
                    .putLong(at + 24, structure.segments())
                    .putLong(at + 32, structure.headBytes())
                    .putLong(at + 40, seal.checksum());
            at += SEAL_BYTES;
        }
        buffer.putInt(CHECKSUM_AT, checksum(buffer));
        channel.write(buffer, 0);
    }

    private static ByteBuffer buffer() {
        return ByteBuffer.allocate(BYTES).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static int checksum(ByteBuffer buffer) {
        CRC32C crc = new CRC32C();
        crc.update(buffer.array(), 0, CHECKSUM_AT);
        return (int) crc.getValue();
    }
}
