package io.sparrowkv.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.encode.TopKEncoderContract;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Every device that TornadoVM reaches here, with the kernels for CPUs and those for GPUs. */
class TornadoEncoderTest extends TopKEncoderContract {
    @BeforeAll
    static void requireDevice() {
        Optional<String> reason = new TornadoEncoderProvider().unavailable();
        assumeTrue(reason.isEmpty(), () -> "no device to test on: " + reason.get());
    }

    @Override
    protected List<EncoderBackend> start() {
        List<EncoderBackend> backends = new ArrayList<>();
        for (Device device : Device.all()) {
            // Kernels for CPUs are for CPUs only; those for GPUs run anywhere.
            if (device.cpu()) {
                backends.add(TornadoEncoderProvider.tested(new TornadoBackend(device, false, 1)));
            }
            backends.add(TornadoEncoderProvider.tested(new TornadoBackend(device, true, 1)));
        }
        return backends;
    }

    @EachBackend
    void aBatchOfSeveralChunksIsEncodedWhole(EncoderBackend backend) {
        int rows = 2 * EncodePlan.MOST_ROWS + 3;
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(24, 600, 11);
                CodeBatch codes = CodeBatch.allocate(rows, 8)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, 24, 12);
            encode(backend, dictionary, vectors, rows, 8, codes);
            assertRight(dictionary, vectors, codes);
        }
    }

    @Test
    void anUnknownDeviceIsRefusedWithTheKnownOnes() {
        assertThatThrownBy(() -> Encoders.start("tornado:opencl:99", 1))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("--encoder tornado:opencl:99: no such device; choose tornado:");
    }

    @Test
    void eachDeviceIsStartedByItsName() {
        Device device = Device.all().getLast();
        try (EncoderBackend backend = Encoders.start(device.encoder(), 1)) {
            assertThat(backend.name()).isEqualTo(device.encoder());
        }
    }

    @Test
    void aDeviceThatFailsLosesNoBatch() {
        try (Arena arena = Arena.ofShared();
                TornadoBackend backend = new TornadoBackend(Device.all().getFirst(), false, 1);
                Dictionary dictionary = random(24, 600, 5);
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(30, 1 << 10)) {
            backend.trust();
            MemorySegment vectors = RandomDictionaries.vectors(arena, 30, 24, 6);
            encoder.encode(vectors, 30, 8, codes);
            backend.fail(new DeviceFailedException("unplugged by a test", null));
            encoder.encode(vectors, 30, 8, codes);
            assertRight(dictionary, vectors, codes);
        }
    }
}
