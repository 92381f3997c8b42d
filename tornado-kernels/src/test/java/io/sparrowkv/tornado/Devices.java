package io.sparrowkv.tornado;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Optional;

/** What tests that need a device begin with. */
final class Devices {
    private Devices() {}

    /** Skips the calling test, with the reason, where TornadoVM cannot start or finds no device. */
    static void require() {
        Optional<String> reason = new TornadoEncoderProvider().unavailable();
        assumeTrue(reason.isEmpty(), () -> "no device to test on: " + reason.get());
    }

    /** The first device, and the kernels that are meant for it. */
    static TornadoBackend start(KernelFamily family) {
        return new TornadoBackend(Device.all().getFirst(), family, 1);
    }
}
