package io.sparrowkv.cli;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import jdk.incubator.vector.FloatVector;

/**
 * The machine the process runs on.
 *
 * @param cpu name of the processor
 * @param cores processors the JVM may use
 * @param memoryBytes memory of the machine or container
 * @param availableBytes memory that can be had without swapping
 * @param heapBytes most the JVM's heap may take
 * @param java version and vendor of the JDK
 * @param vectorBits width of the Vector API's preferred species
 */
record Machine(
        String cpu, int cores, long memoryBytes, long availableBytes, long heapBytes, String java, int vectorBits) {
    static Machine probe() {
        return new Machine(
                cpuName(),
                Runtime.getRuntime().availableProcessors(),
                system().getTotalMemorySize(),
                availableMemory(),
                Runtime.getRuntime().maxMemory(),
                Runtime.version() + " (" + System.getProperty("java.vendor") + ")",
                FloatVector.SPECIES_PREFERRED.vectorBitSize());
    }

    /** Memory in bytes that can be had without swapping: what is free, and on Linux what the page cache would give back. */
    static long availableMemory() {
        long free = system().getFreeMemorySize();
        return Math.min(
                system().getTotalMemorySize(),
                Math.max(free, numberAfter(Path.of("/proc/meminfo"), "MemAvailable:") * 1024));
    }

    private static OperatingSystemMXBean system() {
        return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
    }

    private static String cpuName() {
        String name = lineAfter(Path.of("/proc/cpuinfo"), "model name");
        return name.isEmpty()
                ? System.getProperty("os.arch")
                : name.substring(name.indexOf(':') + 1).strip();
    }

    private static long numberAfter(Path file, String name) {
        String digits = lineAfter(file, name).replaceAll("\\D", "");
        return digits.isEmpty() ? 0 : Long.parseLong(digits);
    }

    private static String lineAfter(Path file, String name) {
        try (Stream<String> lines = Files.lines(file)) {
            return lines.filter(line -> line.startsWith(name))
                    .findFirst()
                    .map(line -> line.substring(name.length()))
                    .orElse("");
        } catch (IOException e) {
            return ""; // no Linux: the JVM's own figures stand
        }
    }
}
