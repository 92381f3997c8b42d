package io.sparrowkv.tornado;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What tests that need a device begin with. */
final class Devices {
    private Devices() {}

    /** Skips the calling test, with the reason, where TornadoVM cannot start or finds no device. */
    static void require() {
        Optional<String> reason = new TornadoEncoderProvider().unavailable();
        assumeTrue(reason.isEmpty(), () -> "no device to test on: " + reason.get());
    }

    /** The first device. */
    static Device first() {
        return Device.all().getFirst();
    }

    /** The kernels that a device is started with, the best first, and those for GPUs, which run anywhere. */
    static List<KernelFamily> families(Device device) {
        List<KernelFamily> families = new ArrayList<>(KernelFamily.of(device));
        if (!families.contains(KernelFamily.GPU)) {
            families.add(KernelFamily.GPU);
        }
        return families;
    }

    /** The first device, with kernels of the test's choice. */
    static TornadoBackend start(KernelFamily family) {
        return new TornadoBackend(first(), family, 1);
    }
}
