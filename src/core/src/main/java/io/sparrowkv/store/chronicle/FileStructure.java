package io.sparrowkv.store.chronicle;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32C;

/**
 * Where a map file keeps what is not a slot: its header and, at the head of each segment, the hash table, the counters and the list
 * of free room. Their checksum, taken when the last owner closes the store, tells whether the file is the one that was closed.
 *
 * @param segmentsOffset where the first segment begins; all before it is structure
 * @param segmentBytes bytes of a segment
 * @param segments number of segments
 * @param headBytes bytes of structure at the head of each
 */
record FileStructure(long segmentsOffset, long segmentBytes, int segments, long headBytes) {
    private static final int BUFFER = 1 << 20;

    /** Whether the numbers can be those of a file of {@code length} bytes. */
    boolean fits(long length) {
        return segmentsOffset > 0
                && segments > 0
                && headBytes > 0
                && headBytes <= segmentBytes
                && segmentsOffset <= length
                && segmentBytes <= (length - segmentsOffset) / segments;
    }

    /** CRC-32C of the structure of a file, read past any mapping. */
    int checksum(Path file) throws IOException {
        CRC32C crc = new CRC32C();
        ByteBuffer buffer = ByteBuffer.allocateDirect(BUFFER);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            add(channel, 0, segmentsOffset, buffer, crc);
            for (int segment = 0; segment < segments; segment++) {
                add(channel, segmentsOffset + segment * segmentBytes, headBytes, buffer, crc);
            }
        }
        return (int) crc.getValue();
    }

    private static void add(FileChannel channel, long offset, long bytes, ByteBuffer buffer, CRC32C crc)
            throws IOException {
        for (long done = 0; done < bytes; ) {
            buffer.clear().limit((int) Math.min(BUFFER, bytes - done));
            int read = channel.read(buffer, offset + done);
            if (read < 0) {
                throw new IOException("ends at byte " + (offset + done));
            }
            crc.update(buffer.flip());
            done += read;
        }
    }
}
