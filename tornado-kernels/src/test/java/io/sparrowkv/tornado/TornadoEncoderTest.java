package io.sparrowkv.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.CodeCheck;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderUnavailableException;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.encode.TopKEncoderContract;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Every device that TornadoVM reaches here, with all kernels that are meant for it, and those for GPUs anywhere. */
class TornadoEncoderTest extends TopKEncoderContract {
    @BeforeAll
    static void requireDevice() {
        Devices.require();
    }

    @Override
    protected List<EncoderBackend> start() {
        List<EncoderBackend> backends = new ArrayList<>();
        for (Device device : Device.all()) {
            Devices.families(device)
                    .forEach(family ->
                            backends.add(TornadoEncoderProvider.tested(new TornadoBackend(device, family, 1))));
        }
        return backends;
    }

    @ParameterizedTest
    @CsvSource({
        "80, 4160, 64, 1025, true",
        "24, 777, 1, 8192, false",
        "128, 4096, 8, 700, true",
        "128, 4096, 16, 2049, false",
        "64, 32768, 2, 130, true",
        "256, 32768, 64, 70, false",
        "16, 32768, 1, 8192, true"
    })
    void batchesOfSeveralChunksAreEncodedWhole(int dHead, int latents, int budget, int rows, boolean half) {
        for (int i = 0; i < backends().size(); i++) {
            EncoderBackend backend = (EncoderBackend) backends().get(i).get()[0];
            try (Arena arena = Arena.ofShared();
                    Dictionary dictionary = random(dHead, latents, 11);
                    CodeBatch codes = CodeBatch.allocate(rows, budget)) {
                if (half) {
                    HalfFloatsTest.round(dictionary);
                }
                MemorySegment vectors = RandomDictionaries.vectors(arena, rows, dHead, 12);
                encode(backend, dictionary, vectors, rows, budget, codes);
                // The definition takes its time: the rows around the ends of chunks, and some in between.
                CodeCheck check = new CodeCheck(dictionary);
                for (int row = 0; row < rows; row++) {
                    if (row % 64 == 0 && row < 1024
                            || row % 64 == 63 && row < 1024
                            || row % 509 == 0
                            || row == rows - 1) {
                        assertThat(check.disagreement(vectors, codes, row)).isEmpty();
                    }
                }
            }
        }
    }

    @EachBackend
    void weightsThatWereHalvesGiveTheirOwnCodes(EncoderBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(24, 600, 5);
                Dictionary finer = random(24, 600, 6);
                TopKEncoder encoder = backend.open(HalfFloatsTest.round(dictionary));
                TopKEncoder other = backend.open(finer);
                CodeBatch codes = CodeBatch.allocate(70, 12)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 70, 24, 6);
            for (TopKEncoder each : List.of(encoder, other, encoder)) {
                each.encode(vectors, 70, 12, codes);
                assertRight(each.dictionary(), vectors, codes);
            }
            // Trained on, they are halves no more, and back.
            dictionary.encoderWeights().copyFrom(finer.encoderWeights());
            encoder.reload();
            encoder.encode(vectors, 70, 12, codes);
            assertRight(dictionary, vectors, codes);
            HalfFloatsTest.round(dictionary);
            encoder.reload();
            encoder.encode(vectors, 70, 12, codes);
            assertRight(dictionary, vectors, codes);
        }
    }

    @Test
    void anUnknownDeviceIsRefusedWithTheKnownOnes() {
        assertThatThrownBy(() -> Encoders.start("tornado:opencl:99", 1))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("tornado:opencl:99: no such device; choose tornado:");
    }

    @Test
    void poclIsNotStartedWithoutALinkerSinceItWouldEndTheProcess(@TempDir Path folder) throws IOException {
        String pocl = Device.all().stream()
                .filter(Device::cpu)
                .map(device -> device.tornado().getPlatformName())
                .filter(name -> name.contains("Portable"))
                .findFirst()
                .orElse("Portable Computing Language");
        String path = folder + File.pathSeparator + folder.resolve("none");
        assertThat(Device.unfit(pocl, path))
                .hasValueSatisfying(reason -> assertThat(reason).contains("install binutils"));
        assertThat(Device.unfit("NVIDIA CUDA", path)).isEmpty();
        Path linker = Files.createFile(folder.resolve("ld"));
        assertThat(linker.toFile().setExecutable(true)).isTrue();
        assertThat(Device.unfit(pocl, path)).isEmpty();
    }

    @Test
    void eachDeviceIsStartedByItsName() {
        Device device = Device.all().getLast();
        try (EncoderBackend backend = Encoders.start(device.encoder(), 1)) {
            assertThat(backend.name()).isEqualTo(device.encoder());
        }
    }

    @Test
    void ofSeveralTheFastestThatPassesIsTaken() {
        Device device = Device.all().getLast();
        List<TornadoBackend> started = new ArrayList<>();
        List<Supplier<TornadoBackend>> starts = new ArrayList<>();
        starts.add(() -> {
            throw new EncoderUnavailableException("out of order");
        });
        // On a CPU its own kernels are many times faster than a GPU's.
        for (KernelFamily family : List.of(KernelFamily.GPU, KernelFamily.CPU, KernelFamily.GPU)) {
            starts.add(() -> {
                started.add(new TornadoBackend(device, family, 1));
                return started.getLast();
            });
        }
        assumeTrue(device.cpu(), "no CPU to tell the kernels apart on");
        try (EncoderBackend fastest = TornadoEncoderProvider.fastest(starts)) {
            assertThat(fastest).isSameAs(started.get(1));
        }
        try (TornadoBackend first = TornadoEncoderProvider.firstToPass(starts)) {
            assertThat(first).isSameAs(started.get(3));
        }
        assertThatThrownBy(() -> TornadoEncoderProvider.fastest(starts.subList(0, 1)))
                .isInstanceOf(EncoderUnavailableException.class)
                .hasMessage("out of order");
        assertThatThrownBy(() -> TornadoEncoderProvider.firstToPass(starts.subList(0, 1)))
                .isInstanceOf(EncoderUnavailableException.class)
                .hasMessage("out of order");
    }
}
