package io.sparrowkv.tornado;

import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderDevice;
import io.sparrowkv.encode.EncoderProvider;
import io.sparrowkv.encode.EncoderUnavailableException;
import io.sparrowkv.encode.FastestEncoder;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Offers the devices that TornadoVM reaches, as {@code tornado}, {@code tornado:opencl} or {@code tornado:opencl:0}. Each start tests the
 * device itself, and TornadoVM's own fall-back to sequential Java is off: a started backend encodes on its device.
 */
public final class TornadoEncoderProvider implements EncoderProvider {
    static final String NAME = "tornado";

    private static final Logger LOG = LoggerFactory.getLogger(TornadoEncoderProvider.class);

    private static final String MODULE = "tornado.runtime";
    private static final String RECOVERY = "tornado.recover.bailout";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public int preference() {
        return 20;
    }

    @Override
    public Optional<String> unavailable() {
        if (ModuleLayer.boot().findModule(MODULE).isEmpty()) {
            return Optional.of("this JVM runs without TornadoVM; start it with the flags of docs/tornadovm.md");
        }
        if (!"false".equals(System.getProperty(RECOVERY))) {
            return Optional.of(
                    "TornadoVM would run what it cannot compile as plain Java, without a word; start the JVM with -D"
                            + RECOVERY + "=false");
        }
        return devicesOrReason().left();
    }

    @Override
    public Optional<String> unsuitedForAuto() {
        return devicesOrReason().devices().stream().allMatch(Device::cpu)
                ? Optional.of("it reaches CPUs only, where the vector encoder is faster; ask for it by name")
                : Optional.empty();
    }

    /** A GPU may: the smallest are no match for a CPU's vector units. */
    @Override
    public boolean mayBeSlower() {
        return true;
    }

    @Override
    public List<EncoderDevice> devices() {
        return devicesOrReason().devices().stream().map(Device::describe).toList();
    }

    @Override
    public EncoderBackend start(int threads) {
        return start("", threads);
    }

    @Override
    public EncoderBackend start(String device, int threads) {
        if (!device.isEmpty()) {
            return started(Device.choose(device), threads);
        }
        List<Device> devices = devicesOrReason().devices();
        // Of the GPUs if there are any, which come first.
        List<Device> candidates = devices.stream()
                .filter(candidate -> candidate.cpu() == devices.getFirst().cpu())
                .toList();
        if (candidates.size() == 1) {
            return started(candidates.getFirst(), threads);
        }
        return fastest(candidates.stream()
                .<Supplier<TornadoBackend>>map(candidate -> () -> started(candidate, threads))
                .toList());
    }

    /** Starts a device with the best kernels for it that pass its self-test. */
    private static TornadoBackend started(Device device, int threads) {
        device.unfit().ifPresent(reason -> {
            throw new EncoderUnavailableException(reason);
        });
        return firstToPass(KernelFamily.of(device).stream()
                .<Supplier<TornadoBackend>>map(family -> () -> tested(new TornadoBackend(device, family, threads)))
                .toList());
    }

    /**
     * The first that starts; those that do not are logged.
     *
     * @throws EncoderUnavailableException the last one's, when none does
     */
    static TornadoBackend firstToPass(List<Supplier<TornadoBackend>> starts) {
        for (Supplier<TornadoBackend> start : starts.subList(0, starts.size() - 1)) {
            try {
                return start.get();
            } catch (EncoderUnavailableException e) {
                LOG.warn("passed over: {}", e.getMessage());
            }
        }
        return starts.getLast().get();
    }

    /**
     * The fastest of those that start, by a short measurement; the others are closed.
     *
     * @throws EncoderUnavailableException when none does
     */
    static EncoderBackend fastest(List<Supplier<TornadoBackend>> starts) {
        List<TornadoBackend> started = new ArrayList<>();
        EncoderUnavailableException last = null;
        for (Supplier<TornadoBackend> start : starts) {
            try {
                started.add(start.get());
            } catch (EncoderUnavailableException e) {
                LOG.warn("passed over: {}", e.getMessage());
                last = e;
            }
        }
        if (started.isEmpty()) {
            throw last;
        }
        return FastestEncoder.of(started);
    }

    /** Hands the backend on when it passes its self-test, and closes it otherwise. */
    static TornadoBackend tested(TornadoBackend backend) {
        String wrong;
        try {
            Optional<String> disagreement = SelfTest.run(backend);
            if (disagreement.isEmpty()) {
                backend.trust();
                return backend;
            }
            wrong = disagreement.get();
        } catch (DeviceFailedException e) {
            wrong = DeviceFailedException.line(e);
        }
        backend.close();
        throw new EncoderUnavailableException(
                "%s with %s does not pass its self-test (%s); update its driver or choose another encoder"
                        .formatted(backend.name(), backend.kernels(), wrong));
    }

    /** The devices, or why there are none. */
    private record Found(List<Device> devices, Optional<String> left) {}

    private static Found devicesOrReason() {
        try {
            List<Device> devices = Device.all();
            return new Found(
                    devices,
                    devices.isEmpty()
                            ? Optional.of(
                                    "TornadoVM finds no device; install its driver (clinfo lists what OpenCL sees)")
                            : Optional.empty());
        } catch (RuntimeException | LinkageError e) {
            // A missing native library shows as either.
            return new Found(List.of(), Optional.of("TornadoVM cannot start: " + DeviceFailedException.line(e)));
        }
    }
}
