package io.sparrowkv.tornado;

import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderDevice;
import io.sparrowkv.encode.EncoderProvider;
import io.sparrowkv.encode.EncoderUnavailableException;
import java.util.List;
import java.util.Optional;

/**
 * Offers the devices that TornadoVM reaches, as {@code tornado}, {@code tornado:opencl} or {@code tornado:opencl:0}. Each start tests the
 * device itself, and TornadoVM's own fall-back to sequential Java is off: a started backend encodes on its device.
 */
public final class TornadoEncoderProvider implements EncoderProvider {
    static final String NAME = "tornado";

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
        Device chosen = Device.choose(device);
        return tested(new TornadoBackend(chosen, chosen.cpu() ? KernelFamily.CPU : KernelFamily.GPU, threads));
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
            wrong = TornadoBackend.firstLine(e);
        }
        backend.close();
        throw new EncoderUnavailableException(
                "%s does not pass its self-test (%s); update its driver or choose another encoder"
                        .formatted(backend.name(), wrong));
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
            return new Found(List.of(), Optional.of("TornadoVM cannot start: " + TornadoBackend.firstLine(e)));
        }
    }
}
