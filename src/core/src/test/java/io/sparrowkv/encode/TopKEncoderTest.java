package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.IntFunction;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What every encoder must do: each backend that can start here, and each tile of the vector one. */
class TopKEncoderTest {
    private static final Site SITE = Site.of(3, VectorKind.KEY);

    /** A way of encoding by the number of its threads. */
    record Backend(String name, IntFunction<EncoderBackend> start) {
        @Override
        public String toString() {
            return name;
        }
    }

    record Shape(int dHead, int latents, int budget, int rows) {}

    static List<Backend> backends() {
        List<Backend> backends = new ArrayList<>();
        for (EncoderProvider provider : Encoders.providers()) {
            if (provider.unavailable().isEmpty()) {
                backends.add(new Backend(provider.name(), provider::start));
            }
        }
        backends.add(new Backend("vector 6x4", threads -> new VectorBackend(threads, new Tile6x4())));
        backends.add(new Backend("vector 4x2", threads -> new VectorBackend(threads, new Tile4x2())));
        return backends;
    }

    static List<Arguments> shapes() {
        List<Shape> shapes = List.of(
                new Shape(1, 1, 1, 1),
                new Shape(16, 64, 64, 7),
                new Shape(24, 65, 65, 13),
                new Shape(64, 63, 5, 5),
                new Shape(80, 1000, 32, 66),
                new Shape(128, 512, 16, 130),
                new Shape(128, 4096, 8, 97),
                new Shape(128, 4096, 64, 49),
                new Shape(256, 333, 200, 12),
                new Shape(33, 777, 777, 6),
                new Shape(16, 2048, 1024, 9),
                new Shape(8, 32768, 16, 11),
                new Shape(17, 129, 1, 64));
        List<Arguments> all = new ArrayList<>();
        for (Backend backend : backends()) {
            shapes.forEach(shape -> all.add(Arguments.of(backend, shape)));
        }
        return all;
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("shapes")
    void codesAreTheKLargestPreActivations(Backend backend, Shape shape) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(shape.dHead, shape.latents, 11);
                CodeBatch codes = CodeBatch.allocate(shape.rows, shape.budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, shape.rows, shape.dHead, 12);
            encode(backend, 2, dictionary, vectors, shape.rows, shape.budget, codes);
            assertRight(dictionary, vectors, codes);
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void tiesGoToTheLowerIndex(Backend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = Dictionary.allocate(SITE, RopeStage.PRE, 16, 300);
                CodeBatch codes = CodeBatch.allocate(10, 40)) {
            // Three values only, spread so that each is taken from every panel: 1 where the latent is divisible by 7, 2
            // by 11.
            for (int latent = 0; latent < 300; latent++) {
                float value = latent % 11 == 0 ? 2 : latent % 7 == 0 ? 1 : -1;
                dictionary.encoderBias().setAtIndex(JAVA_FLOAT, latent, value);
            }
            MemorySegment vectors = arena.allocate(10 * 16 * Float.BYTES);
            encode(backend, 2, dictionary, vectors, 10, 40, codes);
            for (int row = 0; row < 10; row++) {
                for (int pair = 0; pair < 28; pair++) {
                    assertThat(codes.index(row, pair)).isEqualTo(11 * pair);
                    assertThat(codes.coefficient(row, pair)).isEqualTo(2f);
                }
                assertThat(codes.index(row, 28)).isEqualTo(7);
                assertThat(codes.index(row, 38)).isEqualTo(84); // 77 is among the larger ones
                assertThat(codes.index(row, 39)).isEqualTo(91);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void everyLatentMayTie(Backend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = Dictionary.allocate(SITE, RopeStage.PRE, 16, 1000);
                CodeBatch codes = CodeBatch.allocate(1, 16)) {
            dictionary.encoderBias().fill((byte) 0x3f); // 0.747, whichever the byte order
            encode(backend, 1, dictionary, arena.allocate(16 * Float.BYTES), 1, 16, codes);
            for (int pair = 0; pair < 16; pair++) {
                assertThat(codes.index(0, pair)).isEqualTo(pair);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void rowsWithoutPositiveValuesGiveEmptyCodes(Backend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = Dictionary.allocate(SITE, RopeStage.PRE, 24, 100);
                CodeBatch codes = CodeBatch.allocate(3, 8)) {
            codes.indices().fill((byte) 1);
            codes.coefficients().fill((byte) 1);
            for (int latent = 0; latent < 100; latent++) {
                dictionary.encoderBias().setAtIndex(JAVA_FLOAT, latent, latent % 2 == 0 ? -1f : 0f);
            }
            MemorySegment vectors = arena.allocate(3 * 24 * Float.BYTES);
            encode(backend, 2, dictionary, vectors, 3, 8, codes);
            for (int row = 0; row < 3; row++) {
                assertThat(codes.count(row)).isZero();
            }
            assertRight(dictionary, vectors, codes);
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void fewerPositiveValuesThanTheBudgetGiveAShorterCode(Backend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(128, 512, 5);
                CodeBatch codes = CodeBatch.allocate(20, 400)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 20, 128, 6);
            encode(backend, 2, dictionary, vectors, 20, 400, codes);
            assertThat(codes.count(0)).isBetween(1, 399);
            assertRight(dictionary, vectors, codes);
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void magnitudesFarApartAreSelectedExactly(Backend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = Dictionary.allocate(SITE, RopeStage.PRE, 16, 2000);
                CodeBatch codes = CodeBatch.allocate(1, 64)) {
            for (int latent = 0; latent < 2000; latent++) {
                int rank = latent * 7 % 2000; // 7 and 2000 share no factor: each rank once
                dictionary.encoderBias().setAtIndex(JAVA_FLOAT, latent, (float) Math.pow(10, 38 - rank * 0.04));
            }
            encode(backend, 1, dictionary, arena.allocate(16 * Float.BYTES), 1, 64, codes);
            for (int pair = 0; pair < 64; pair++) {
                assertThat(codes.index(0, pair) * 7 % 2000).isEqualTo(pair);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void noRowsGiveAnEmptyBatch(Backend backend) {
        try (Dictionary dictionary = random(24, 100, 5);
                CodeBatch codes = CodeBatch.allocate(3, 8)) {
            encode(backend, 2, dictionary, MemorySegment.NULL, 0, 4, codes);
            assertThat(codes.rows()).isZero();
            assertThat(codes.budget()).isEqualTo(4);
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void aSmallerBudgetIsAPrefix(Backend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(80, 900, 5);
                CodeBatch small = CodeBatch.allocate(30, 7);
                CodeBatch large = CodeBatch.allocate(30, 33)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 30, 80, 6);
            encode(backend, 2, dictionary, vectors, 30, 7, small);
            encode(backend, 2, dictionary, vectors, 30, 33, large);
            for (int row = 0; row < 30; row++) {
                for (int pair = 0; pair < 7; pair++) {
                    assertThat(small.index(row, pair)).isEqualTo(large.index(row, pair));
                    assertThat(small.coefficient(row, pair)).isEqualTo(large.coefficient(row, pair));
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void theFirstVectorThatIsNotFiniteIsNamed(Backend backend) {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            try (Arena arena = Arena.ofShared();
                    Dictionary dictionary = random(24, 100, 5);
                    CodeBatch codes = CodeBatch.allocate(300, 8)) {
                MemorySegment vectors = RandomDictionaries.vectors(arena, 300, 24, 6);
                vectors.setAtIndex(JAVA_FLOAT, 51 * 24 + 23, bad);
                vectors.setAtIndex(JAVA_FLOAT, 250 * 24, bad);
                assertThatThrownBy(() -> encode(backend, 2, dictionary, vectors, 300, 8, codes))
                        .isInstanceOf(NonFiniteVectorException.class)
                        .hasMessageContaining("layer.03.key: vector 51 ");
            }
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void changedWeightsCountAfterReload(Backend backend) {
        try (Arena arena = Arena.ofShared();
                EncoderBackend started = backend.start.apply(2);
                Dictionary dictionary = random(80, 200, 5);
                Dictionary other = random(80, 200, 99);
                TopKEncoder encoder = started.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(9, 8)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 9, 80, 6);
            encoder.encode(vectors, 9, 8, codes);
            assertRight(dictionary, vectors, codes);
            dictionary.encoderWeights().copyFrom(other.encoderWeights());
            dictionary.encoderBias().copyFrom(other.encoderBias());
            dictionary.decoderBias().copyFrom(other.decoderBias());
            encoder.reload();
            encoder.encode(vectors, 9, 8, codes);
            assertRight(other, vectors, codes);
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void codesDoNotDependOnThreadsOrOnTheBatch(Backend backend) {
        int rows = 200;
        int budget = 16;
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(64, 500, 5);
                CodeBatch one = CodeBatch.allocate(rows, budget);
                CodeBatch other = CodeBatch.allocate(rows, budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, 64, 6);
            encode(backend, 1, dictionary, vectors, rows, budget, one);
            for (int threads : new int[] {2, 3, 7}) {
                encode(backend, threads, dictionary, vectors, rows, budget, other);
                assertSame(one, 0, other);
            }
            for (int from : new int[] {1, 5, 199}) {
                MemorySegment rest = vectors.asSlice((long) from * 64 * Float.BYTES);
                encode(backend, 2, dictionary, rest, rows - from, budget, other);
                assertSame(one, from, other);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void encodersOfOneBackendShareItsMemoryWithoutHarm(Backend backend) {
        try (Arena arena = Arena.ofShared();
                EncoderBackend started = backend.start.apply(2);
                Dictionary wide = random(128, 1000, 5);
                Dictionary narrow = random(16, 70, 6);
                TopKEncoder wideEncoder = started.open(wide);
                TopKEncoder narrowEncoder = started.open(narrow);
                CodeBatch codes = CodeBatch.allocate(60, 20)) {
            Function<Dictionary, MemorySegment> vectorsOf =
                    dictionary -> RandomDictionaries.vectors(arena, 60, dictionary.dHead(), 6);
            for (TopKEncoder encoder : List.of(narrowEncoder, wideEncoder, narrowEncoder)) {
                MemorySegment vectors = vectorsOf.apply(encoder.dictionary());
                encoder.encode(vectors, 60, 20, codes);
                assertRight(encoder.dictionary(), vectors, codes);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("backends")
    void whatDoesNotFitIsRefused(Backend backend) {
        try (Arena arena = Arena.ofShared();
                EncoderBackend started = backend.start.apply(2);
                Dictionary dictionary = random(24, 100, 5);
                TopKEncoder encoder = started.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(4, 200)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 4, 24, 6);
            assertThatThrownBy(() -> encoder.encode(vectors, 4, 101, codes))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("budget 101 of 100 latents");
            assertThatThrownBy(() -> encoder.encode(vectors, 4, 0, codes)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> encoder.encode(vectors, 5, 8, codes))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("5 rows of 24 floats");
            assertThatThrownBy(() -> encoder.encode(vectors, -1, 8, codes))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    private static Dictionary random(int dHead, int latents, long seed) {
        return RandomDictionaries.dictionary(SITE, RopeStage.PRE, dHead, latents, seed);
    }

    private static void encode(
            Backend backend,
            int threads,
            Dictionary dictionary,
            MemorySegment vectors,
            int rows,
            int budget,
            CodeBatch codes) {
        try (EncoderBackend started = backend.start.apply(threads);
                TopKEncoder encoder = started.open(dictionary)) {
            encoder.encode(vectors, rows, budget, codes);
        }
    }

    private static void assertRight(Dictionary dictionary, MemorySegment vectors, CodeBatch codes) {
        CodeCheck check = new CodeCheck(dictionary);
        for (int row = 0; row < codes.rows(); row++) {
            assertThat(check.disagreement(vectors, codes, row)).isEmpty();
        }
    }

    /** {@code part} holds the rows of {@code whole} from {@code from} on. */
    private static void assertSame(CodeBatch whole, int from, CodeBatch part) {
        for (int row = 0; row < part.rows(); row++) {
            assertThat(part.count(row)).isEqualTo(whole.count(from + row));
            for (int pair = 0; pair < part.budget(); pair++) {
                assertThat(part.index(row, pair)).isEqualTo(whole.index(from + row, pair));
                assertThat(part.coefficient(row, pair)).isEqualTo(whole.coefficient(from + row, pair));
            }
        }
    }
}
