package io.sparrowkv.store;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;

/** Which file a place in this process's memory is mapped from, as Linux says. */
public final class MappedFile {
    private static final int COLUMNS = 6;
    private static final int HEXADECIMAL = 16;

    private MappedFile() {}

    /** The file, or the empty path for memory that is no file's. */
    public static Path of(MemorySegment memory) throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/maps"))) {
            String[] columns = line.split("\\s+", COLUMNS);
            String[] range = columns[0].split("-");
            if (Long.compareUnsigned(memory.address(), Long.parseUnsignedLong(range[0], HEXADECIMAL)) >= 0
                    && Long.compareUnsigned(
                                    memory.address() + memory.byteSize(), Long.parseUnsignedLong(range[1], HEXADECIMAL))
                            <= 0) {
                return Path.of(columns.length < COLUMNS ? "" : columns[COLUMNS - 1]);
            }
        }
        throw new IOException("address " + Long.toHexString(memory.address()) + " is not this process's");
    }
}
