package io.sparrowkv.cli;

import com.sun.management.OperatingSystemMXBean;
import io.sparrowkv.llm.model.MemoryNeed;
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
                MemoryNeed.available(),
                Runtime.getRuntime().maxMemory(),
                Runtime.version() + " (" + System.getProperty("java.vendor") + ")",
                FloatVector.SPECIES_PREFERRED.vectorBitSize());
    }

    private static OperatingSystemMXBean system() {
        return ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
    }

    private static String cpuName() {
        try (Stream<String> lines = Files.lines(Path.of("/proc/cpuinfo"))) {
            return lines.filter(line -> line.startsWith("model name"))
                    .findFirst()
                    .map(line -> line.substring(line.indexOf(':') + 1).strip())
                    .orElseGet(Machine::architecture);
        } catch (IOException e) {
            return architecture(); // no Linux
        }
    }

    private static String architecture() {
        return System.getProperty("os.arch");
    }
}
