package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.CodeCheck;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.encode.NonFiniteVectorException;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every device that TornadoVM reaches here, with the kernels for CPUs and those for GPUs, against the definition of a code. */
class TornadoEncoderTest {
    private static final Site SITE = Site.of(3, VectorKind.KEY);
    private static final List<TornadoBackend> BACKENDS = new ArrayList<>();

    record Shape(int dHead, int latents, int budget, int rows) {}

    @BeforeAll
    static void start() {
        Devices.require();
    }

    @AfterAll
    static void stop() {
        BACKENDS.forEach(TornadoBackend::close);
        BACKENDS.clear();
    }

    static List<Arguments> backends() {
        if (BACKENDS.isEmpty() && new TornadoEncoderProvider().unavailable().isEmpty()) {
            for (Device device : Device.all()) {
                // Kernels for CPUs are for CPUs only; those for GPUs run anywhere.
                if (device.cpu()) {
                    BACKENDS.add(TornadoEncoderProvider.tested(new TornadoBackend(device, KernelFamily.CPU, 1)));
                }
                BACKENDS.add(TornadoEncoderProvider.tested(new TornadoBackend(device, KernelFamily.GPU, 1)));
            }
        }
        List<Arguments> all = new ArrayList<>();
        for (TornadoBackend backend : BACKENDS) {
            all.add(Arguments.argumentSet(backend.description(), backend));
        }
        return all;
    }

    static List<Arguments> shapes() {
        List<Shape> shapes = List.of(
                new Shape(1, 1, 1, 1),
                new Shape(16, 64, 64, 7),
                new Shape(24, 1000, 32, 66),
                new Shape(64, 63, 5, 5),
                new Shape(80, 333, 200, 130),
                new Shape(80, 4160, 64, 1025),
                new Shape(24, 777, 1, 8192),
                new Shape(128, 4096, 8, 700),
                new Shape(256, 2049, 16, 12),
                new Shape(16, 32768, 16, 65),
                new Shape(128, 32768, 64, 33));
        List<Arguments> all = new ArrayList<>();
        for (Arguments backend : backends()) {
            for (Shape shape : shapes) {
                all.add(Arguments.of(backend.get()[0], shape));
            }
        }
        return all;
    }

    @ParameterizedTest(name = "{0} {1}", autoCloseArguments = false)
    @MethodSource("shapes")
    void codesAreTheKLargestPreActivations(TornadoBackend backend, Shape shape) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(shape.dHead, shape.latents, 11);
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(shape.rows, shape.budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, shape.rows, shape.dHead, 12);
            encoder.encode(vectors, shape.rows, shape.budget, codes);
            assertRight(dictionary, vectors, codes);
        }
    }

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    void tiesGoToTheLowerIndex(TornadoBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = Dictionary.allocate(SITE, RopeStage.PRE, 24, 600);
                CodeBatch codes = CodeBatch.allocate(10, 80)) {
            // Two positive values only, spread over all panels: 2 where the latent is divisible by 11, 1 by 7.
            for (int latent = 0; latent < 600; latent++) {
                float value = latent % 11 == 0 ? 2 : latent % 7 == 0 ? 1 : -1;
                dictionary.encoderBias().setAtIndex(JAVA_FLOAT, latent, value);
            }
            encode(backend, dictionary, arena.allocate(10 * 24 * Float.BYTES), 10, 80, codes);
            for (int row = 0; row < 10; row++) {
                for (int pair = 0; pair < 55; pair++) {
                    assertThat(codes.index(row, pair)).isEqualTo(11 * pair);
                    assertThat(codes.coefficient(row, pair)).isEqualTo(2f);
                }
                assertThat(codes.index(row, 55)).isEqualTo(7);
                assertThat(codes.index(row, 65)).isEqualTo(84); // 77 is among the larger ones
            }
        }
    }

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    void everyLatentMayTie(TornadoBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = Dictionary.allocate(SITE, RopeStage.PRE, 24, 600);
                CodeBatch codes = CodeBatch.allocate(2, 16)) {
            dictionary.encoderBias().fill((byte) 0x3f); // 0.747, whichever the byte order
            encode(backend, dictionary, arena.allocate(2 * 24 * Float.BYTES), 2, 16, codes);
            for (int pair = 0; pair < 16; pair++) {
                assertThat(codes.index(1, pair)).isEqualTo(pair);
            }
        }
    }

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    void rowsWithoutPositiveValuesGiveEmptyCodes(TornadoBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = Dictionary.allocate(SITE, RopeStage.PRE, 24, 600);
                CodeBatch codes = CodeBatch.allocate(3, 8)) {
            codes.indices().fill((byte) 1);
            codes.coefficients().fill((byte) 1);
            for (int latent = 0; latent < 600; latent++) {
                dictionary.encoderBias().setAtIndex(JAVA_FLOAT, latent, latent % 2 == 0 ? -1f : 0f);
            }
            MemorySegment vectors = arena.allocate(3 * 24 * Float.BYTES);
            encode(backend, dictionary, vectors, 3, 8, codes);
            for (int row = 0; row < 3; row++) {
                assertThat(codes.count(row)).isZero();
            }
            assertRight(dictionary, vectors, codes);
        }
    }

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    void theFirstVectorThatIsNotFiniteIsNamed(TornadoBackend backend) {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            try (Arena arena = Arena.ofShared();
                    Dictionary dictionary = random(24, 600, 5);
                    CodeBatch codes = CodeBatch.allocate(100, 8)) {
                MemorySegment vectors = RandomDictionaries.vectors(arena, 100, 24, 6);
                vectors.setAtIndex(JAVA_FLOAT, 51 * 24 + 23, bad);
                vectors.setAtIndex(JAVA_FLOAT, 90 * 24, bad);
                assertThatThrownBy(() -> encode(backend, dictionary, vectors, 100, 8, codes))
                        .isInstanceOf(NonFiniteVectorException.class)
                        .hasMessageContaining("layer.03.key: vector 51 ");
            }
        }
    }

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    void noRowsGiveAnEmptyBatch(TornadoBackend backend) {
        try (Dictionary dictionary = random(24, 600, 5);
                CodeBatch codes = CodeBatch.allocate(3, 8)) {
            encode(backend, dictionary, MemorySegment.NULL, 0, 4, codes);
            assertThat(codes.rows()).isZero();
            assertThat(codes.budget()).isEqualTo(4);
        }
    }

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    void whatDoesNotFitIsRefused(TornadoBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(24, 600, 5);
                CodeBatch codes = CodeBatch.allocate(4, 700)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 4, 24, 6);
            assertThatThrownBy(() -> encode(backend, dictionary, vectors, 4, 601, codes))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("budget 601 of 600 latents");
            assertThatThrownBy(() -> encode(backend, dictionary, vectors, 5, 8, codes))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    void sitesOfOneShapeDoNotMixAndAReloadChangesItsOwnOnly(TornadoBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary first = random(24, 600, 5);
                Dictionary second = random(24, 600, 6);
                Dictionary other = random(24, 600, 99);
                TopKEncoder firstEncoder = backend.open(first);
                TopKEncoder secondEncoder = backend.open(second);
                CodeBatch codes = CodeBatch.allocate(70, 12)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 70, 24, 6);
            for (TopKEncoder encoder : List.of(secondEncoder, firstEncoder, secondEncoder)) {
                encoder.encode(vectors, 70, 12, codes);
                assertRight(encoder.dictionary(), vectors, codes);
            }
            first.encoderWeights().copyFrom(other.encoderWeights());
            first.encoderBias().copyFrom(other.encoderBias());
            first.decoderBias().copyFrom(other.decoderBias());
            firstEncoder.reload();
            firstEncoder.encode(vectors, 70, 12, codes);
            assertRight(other, vectors, codes);
            secondEncoder.encode(vectors, 70, 12, codes);
            assertRight(second, vectors, codes);
            // One that comes when the plan is made, and the place of one that left.
            secondEncoder.close();
            try (TopKEncoder late = backend.open(other)) {
                late.encode(vectors, 70, 12, codes);
                assertRight(other, vectors, codes);
            }
        }
    }

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    void weightsThatWereHalvesGiveTheirOwnCodes(TornadoBackend backend) {
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

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    void codesDependNeitherOnTheBatchNorOnALargerBudget(TornadoBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(24, 600, 5);
                CodeBatch whole = CodeBatch.allocate(150, 100);
                CodeBatch part = CodeBatch.allocate(150, 7)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 150, 24, 6);
            encode(backend, dictionary, vectors, 150, 100, whole);
            for (int from : new int[] {0, 1, 67, 149}) {
                encode(backend, dictionary, vectors.asSlice(from * 24L * Float.BYTES), 150 - from, 7, part);
                for (int row = 0; row < 150 - from; row++) {
                    for (int pair = 0; pair < 7; pair++) {
                        assertThat(part.index(row, pair)).isEqualTo(whole.index(from + row, pair));
                        assertThat(part.coefficient(row, pair)).isEqualTo(whole.coefficient(from + row, pair));
                    }
                }
            }
        }
    }

    @Test
    void anUnknownDeviceIsRefusedWithTheKnownOnes() {
        assertThatThrownBy(() -> Encoders.start("tornado:opencl:99", 1))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("tornado:opencl:99: no such device; choose tornado:");
    }

    @Test
    void eachDeviceIsStartedByItsName() {
        Device device = Device.all().getLast();
        try (EncoderBackend backend = Encoders.start(device.encoder(), 1)) {
            assertThat(backend.name()).isEqualTo(device.encoder());
        }
    }

    private static void encode(
            TornadoBackend backend,
            Dictionary dictionary,
            MemorySegment vectors,
            int rows,
            int budget,
            CodeBatch codes) {
        try (TopKEncoder encoder = backend.open(dictionary)) {
            encoder.encode(vectors, rows, budget, codes);
        }
    }

    private static Dictionary random(int dHead, int latents, long seed) {
        return RandomDictionaries.dictionary(SITE, RopeStage.PRE, dHead, latents, seed);
    }

    /** Checks the rows at the ends of chunks and about fifty in between, since the definition takes its time. */
    private static void assertRight(Dictionary dictionary, MemorySegment vectors, CodeBatch codes) {
        CodeCheck check = new CodeCheck(dictionary);
        int step = Math.max(1, codes.rows() / 50);
        for (int row = 0; row < codes.rows(); row++) {
            if (row % step == 0 || row % 64 == 0 && row < 640 || row == codes.rows() - 1) {
                assertThat(check.disagreement(vectors, codes, row)).isEmpty();
            }
        }
    }
}
