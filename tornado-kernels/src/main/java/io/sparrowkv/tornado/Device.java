package io.sparrowkv.tornado;

import io.sparrowkv.encode.EncoderDevice;
import io.sparrowkv.io.InvalidInputException;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import uk.ac.manchester.tornado.api.TornadoBackend;
import uk.ac.manchester.tornado.api.TornadoRuntime;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.enums.TornadoDeviceType;
import uk.ac.manchester.tornado.api.runtime.TornadoRuntimeProvider;

/**
 * A device that TornadoVM reaches.
 *
 * @param backend such as {@code opencl} or {@code cuda}
 * @param index of the device within its backend
 * @param tornado TornadoVM's own handle
 */
record Device(String backend, int index, TornadoDevice tornado) {
    private static final String VERSION = "Driver version";
    private static final String POCL = "Portable Computing Language";
    private static final String LINKER = "ld";

    /** All devices, GPUs first, else in TornadoVM's order. */
    static List<Device> all() {
        List<Device> found = new ArrayList<>();
        TornadoRuntime runtime = TornadoRuntimeProvider.getTornadoRuntime();
        for (int i = 0; i < runtime.getNumBackends(); i++) {
            TornadoBackend backend = runtime.getBackend(i);
            String name = backend.getBackendType().name().toLowerCase(Locale.ROOT);
            for (int j = 0; j < backend.getNumDevices(); j++) {
                found.add(new Device(name, j, backend.getDevice(j)));
            }
        }
        found.sort((a, b) -> Boolean.compare(a.cpu(), b.cpu()));
        return found;
    }

    /**
     * The device of a name's end: {@code opencl:0}, {@code opencl} for the first of a backend, or nothing for the first of all.
     *
     * @throws InvalidInputException when there is none
     */
    static Device choose(String name) {
        List<Device> devices = all();
        return devices.stream()
                .filter(candidate -> name.isEmpty()
                        || name.equals(candidate.backend)
                        || name.equals(candidate.backend + ":" + candidate.index))
                .findFirst()
                .orElseThrow(() -> new InvalidInputException("%s:%s: no such device; choose %s"
                        .formatted(
                                TornadoEncoderProvider.NAME,
                                name,
                                devices.stream().map(Device::encoder).collect(Collectors.joining(", ")))));
    }

    /** Name as {@code --encoder} takes it, such as {@code tornado:opencl:0}. */
    String encoder() {
        return TornadoEncoderProvider.NAME + ":" + backend + ":" + index;
    }

    String name() {
        return tornado.getPhysicalDevice().getDeviceName().strip();
    }

    boolean cpu() {
        return tornado.getDeviceType() == TornadoDeviceType.CPU;
    }

    /** Why it must not be started, and what to do about it; empty when it may be. */
    Optional<String> unfit() {
        return unfit(tornado.getPlatformName(), System.getenv().getOrDefault("PATH", ""));
    }

    /**
     * PoCL calls a linker for each kernel, and ends the whole process where there is none.
     *
     * @param path folders of programs, as in the environment's PATH
     */
    static Optional<String> unfit(String platform, String path) {
        boolean linker = Arrays.stream(path.split(File.pathSeparator))
                .anyMatch(folder -> Files.isExecutable(Path.of(folder, LINKER)));
        return linker || !platform.startsWith(POCL)
                ? Optional.empty()
                : Optional.of("PoCL needs the linker ld, which is not on the PATH; install binutils");
    }

    EncoderDevice describe() {
        return new EncoderDevice(
                encoder(),
                backend,
                name(),
                tornado.getDeviceType().name().toLowerCase(Locale.ROOT),
                tornado.getMaxGlobalMemory(),
                tornado.getDeviceLocalMemorySize(),
                tornado.getPhysicalDevice().getMaxThreadsPerBlock(),
                driver());
    }

    /** For people. */
    String description() {
        return "TornadoVM, %s, %s, driver %s".formatted(backend, name(), driver());
    }

    /** Version of the driver, which the backends have no method for but print among other things. */
    private String driver() {
        Optional<String> line = String.valueOf(tornado.getDeviceInfo())
                .lines()
                .filter(text -> text.startsWith(VERSION))
                .findFirst();
        return line.map(text -> text.substring(text.indexOf(':') + 1).strip()).orElse("unknown");
    }
}
