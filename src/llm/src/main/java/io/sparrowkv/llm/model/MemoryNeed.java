package io.sparrowkv.llm.model;

import com.sun.management.OperatingSystemMXBean;
import io.sparrowkv.io.InvalidInputException;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Says before work starts that the machine has too little memory for it. */
public final class MemoryNeed {
    private static final long KIBI = 1024;

    private MemoryNeed() {}

    /**
     * Refuses what cannot fit.
     *
     * @param what the thing that needs memory, as the message begins
     * @param bytes how much it needs beyond what is in use
     * @param remedy what to do about it
     * @throws InvalidInputException when less is available
     */
    public static void require(String what, long bytes, String remedy) {
        require(what, bytes, available(), remedy);
    }

    static void require(String what, long bytes, long available, String remedy) {
        if (bytes > available) {
            throw new InvalidInputException("%s: needs %.1f GB of memory where %.1f GB are available; %s"
                    .formatted(what, bytes / 1e9, available / 1e9, remedy));
        }
    }

    /** Bytes that can still be used: what the system says it can free, within this container's limit. */
    public static long available() {
        long limit =
                ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize();
        long used = resident().orElse(0L);
        return Math.min(read("/proc/meminfo", "MemAvailable:").orElse(limit), Math.max(0, limit - used));
    }

    /** Bytes that this process holds in memory now; missing where the system does not tell. */
    public static Optional<Long> resident() {
        return read("/proc/self/status", "VmRSS:");
    }

    /** Most bytes that this process has held in memory at once; missing where the system does not tell. */
    public static Optional<Long> peak() {
        return read("/proc/self/status", "VmHWM:");
    }

    /** A field of a file of Linux' proc, in bytes; missing on other systems. */
    private static Optional<Long> read(String file, String field) {
        try (var lines = Files.lines(Path.of(file))) {
            return lines.filter(line -> line.startsWith(field))
                    .findFirst()
                    .map(line -> Long.parseLong(line.replaceAll("\\D", "")) * KIBI);
        } catch (IOException e) {
            return Optional.empty();
        }
    }
}
