package io.sparrowkv.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.offset;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.DeviceTimes;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.collections.VectorFloat16;

/** What the devices of this machine tell of their own speed. */
class DeviceMeasurementTest {
    @BeforeAll
    static void requireDevices() {
        Devices.require();
    }

    @Test
    void theCallOfAProfileIsRunAndItsTimeIsSharedBetweenKernelsAndTransfers() {
        for (Device device : Device.all()) {
            try (TornadoBackend backend = new TornadoBackend(device, KernelFamily.GPU, 1);
                    Arena arena = Arena.ofShared();
                    Dictionary dictionary =
                            RandomDictionaries.dictionary(Site.of(0, VectorKind.VALUE), RopeStage.PRE, 16, 128, 1);
                    TopKEncoder encoder = backend.open(dictionary);
                    CodeBatch codes = CodeBatch.allocate(65, 4)) {
                MemorySegment vectors = RandomDictionaries.vectors(arena, 65, 16, 2);
                encoder.encode(vectors, 65, 4, codes);
                codes.shape(0, 4);
                Optional<DeviceTimes> times = backend.profile(() -> encoder.encode(vectors, 65, 4, codes));
                assertThat(codes.rows()).as(device.encoder()).isEqualTo(65);
                assertThat(times).as(device.encoder()).hasValueSatisfying(found -> {
                    assertThat(found.kernelMicros()).isPositive();
                    assertThat(found.transferMicros()).isNotNegative();
                });
            }
        }
    }

    @Test
    void everyDeviceHasAPeak() {
        for (Device device : Device.all()) {
            assertThat(DevicePeak.gigaflops(device.tornado(), device.cpu()))
                    .as(device.encoder())
                    .isPositive()
                    .isFinite();
        }
    }

    @Test
    void theWideSumsOfThePeakAreTheNarrowOnes() {
        // The first item's lanes all hold what plain arithmetic gives.
        VectorFloat16 out = new VectorFloat16(new FloatArray(16));
        DevicePeak.multiplyAddVectors(out, 3);
        float expected = 0;
        for (int start = 1; start <= 16; start++) {
            expected += start * 0.999f * 0.999f * 0.999f;
        }
        for (int lane = 0; lane < 16; lane++) {
            assertThat(out.getArray().get(lane)).isCloseTo(expected, offset(1e-4f));
        }
    }
}
