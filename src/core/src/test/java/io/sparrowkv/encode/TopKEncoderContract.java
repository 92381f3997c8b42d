package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What {@link TopKEncoder} promises, held against every backend: the tests of each extend this class and start theirs. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
public abstract class TopKEncoderContract {
    private static final Site SITE = Site.of(3, VectorKind.KEY);

    // One shape for all tests but those of shapes, since a device compiles for each: more than one panel of every
    // backend, and
    // the last one not full.
    private static final int D_HEAD = 24;
    private static final int LATENTS = 600;

    private final List<EncoderBackend> started = new ArrayList<>();

    /** A test that runs once with each backend. */
    @Target(ElementType.METHOD)
    @Retention(RetentionPolicy.RUNTIME)
    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("backends")
    protected @interface EachBackend {}

    private record Shape(int dHead, int latents, int budget, int rows) {}

    /** Starts each backend under test; called once. */
    protected abstract List<EncoderBackend> start();

    @AfterAll
    void closeBackends() {
        started.forEach(EncoderBackend::close);
    }

    protected final List<Arguments.ArgumentSet> backends() {
        if (started.isEmpty()) {
            started.addAll(start());
        }
        return started.stream()
                .map(backend -> Arguments.argumentSet(backend.description(), backend))
                .toList();
    }

    final List<Arguments.ArgumentSet> shapes() {
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
                new Shape(16, 32768, 16, 65),
                new Shape(17, 129, 1, 64));
        return backends().stream()
                .map(backend -> (EncoderBackend) backend.get()[0])
                .flatMap(backend -> shapes.stream()
                        .map(shape -> Arguments.argumentSet(backend.description() + " " + shape, backend, shape)))
                .toList();
    }

    @ParameterizedTest(autoCloseArguments = false)
    @MethodSource("shapes")
    void codesAreTheKLargestPreActivations(EncoderBackend backend, Shape shape) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(shape.dHead, shape.latents, 11);
                CodeBatch codes = CodeBatch.allocate(shape.rows, shape.budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, shape.rows, shape.dHead, 12);
            encode(backend, dictionary, vectors, shape.rows, shape.budget, codes);
            assertRight(dictionary, vectors, codes);
        }
    }

    @EachBackend
    void tiesGoToTheLowerIndex(EncoderBackend backend) {
        // Two positive values only, spread over all panels.
        int[] large = IntStream.range(0, LATENTS).filter(i -> i % 11 == 0).toArray();
        int[] small = IntStream.range(0, LATENTS)
                .filter(i -> i % 7 == 0 && i % 11 != 0)
                .toArray();
        try (Dictionary dictionary = biased(latent -> latent % 11 == 0 ? 2 : latent % 7 == 0 ? 1 : -1);
                CodeBatch codes = encodeZeros(backend, dictionary, 10, 80)) {
            for (int row = 0; row < 10; row++) {
                assertThat(indices(codes, row))
                        .isEqualTo(IntStream.concat(IntStream.of(large), IntStream.of(small))
                                .limit(80)
                                .toArray());
                for (int pair = 0; pair < 80; pair++) {
                    assertThat(codes.coefficient(row, pair)).isEqualTo(pair < large.length ? 2f : 1f);
                }
            }
        }
    }

    @EachBackend
    void everyLatentMayTie(EncoderBackend backend) {
        try (Dictionary dictionary = biased(latent -> 0.75);
                CodeBatch codes = encodeZeros(backend, dictionary, 2, 16)) {
            assertThat(indices(codes, 1)).isEqualTo(IntStream.range(0, 16).toArray());
        }
    }

    @EachBackend
    void magnitudesFarApartAreSelectedExactly(EncoderBackend backend) {
        // 7 and 600 share no factor: each rank once.
        try (Dictionary dictionary = biased(latent -> Math.pow(10, 38 - latent * 7 % LATENTS * 0.12));
                CodeBatch codes = encodeZeros(backend, dictionary, 1, 64)) {
            assertThat(IntStream.of(indices(codes, 0)).map(latent -> latent * 7 % LATENTS))
                    .containsExactlyElementsOf(IntStream.range(0, 64).boxed().toList());
        }
    }

    @EachBackend
    void rowsWithoutPositiveValuesGiveEmptyCodes(EncoderBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = biased(latent -> latent % 2 == 0 ? -1 : 0);
                CodeBatch codes = CodeBatch.allocate(3, 8)) {
            codes.indices().fill((byte) 1);
            codes.coefficients().fill((byte) 1);
            MemorySegment vectors = arena.allocate(3 * D_HEAD * Float.BYTES);
            encode(backend, dictionary, vectors, 3, 8, codes);
            for (int row = 0; row < 3; row++) {
                assertThat(codes.count(row)).isZero();
            }
            assertRight(dictionary, vectors, codes);
        }
    }

    @EachBackend
    void fewerPositiveValuesThanTheBudgetGiveAShorterCode(EncoderBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(5);
                CodeBatch codes = CodeBatch.allocate(20, 500)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 20, D_HEAD, 6);
            encode(backend, dictionary, vectors, 20, 500, codes);
            assertThat(codes.count(0)).isBetween(1, 499);
            assertRight(dictionary, vectors, codes);
        }
    }

    @EachBackend
    void noRowsGiveAnEmptyBatch(EncoderBackend backend) {
        try (Dictionary dictionary = random(5);
                CodeBatch codes = CodeBatch.allocate(3, 8)) {
            encode(backend, dictionary, MemorySegment.NULL, 0, 4, codes);
            assertThat(codes.rows()).isZero();
            assertThat(codes.budget()).isEqualTo(4);
        }
    }

    @EachBackend
    void aSmallerBudgetIsAPrefixWhateverTheBatch(EncoderBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(5);
                CodeBatch whole = CodeBatch.allocate(150, 100);
                CodeBatch part = CodeBatch.allocate(150, 7)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 150, D_HEAD, 6);
            encode(backend, dictionary, vectors, 150, 100, whole);
            for (int from : new int[] {0, 1, 67, 149}) {
                MemorySegment rest = vectors.asSlice((long) from * D_HEAD * Float.BYTES);
                encode(backend, dictionary, rest, 150 - from, 7, part);
                assertPrefix(whole, from, part);
            }
        }
    }

    @EachBackend
    void theFirstVectorThatIsNotFiniteIsNamed(EncoderBackend backend) {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            try (Arena arena = Arena.ofShared();
                    Dictionary dictionary = random(5);
                    CodeBatch codes = CodeBatch.allocate(300, 8)) {
                MemorySegment vectors = RandomDictionaries.vectors(arena, 300, D_HEAD, 6);
                vectors.setAtIndex(JAVA_FLOAT, 51 * D_HEAD + 23, bad);
                vectors.setAtIndex(JAVA_FLOAT, 250 * D_HEAD, bad);
                assertThatThrownBy(() -> encode(backend, dictionary, vectors, 300, 8, codes))
                        .isInstanceOf(NonFiniteVectorException.class)
                        .hasMessageContaining("layer.03.key: vector 51 ");
            }
        }
    }

    @EachBackend
    void encodersOfOneBackendDoNotMix(EncoderBackend backend) {
        try (Dictionary first = random(5);
                Dictionary second = random(6);
                Dictionary wide = random(128, 1000, 7);
                TopKEncoder firstEncoder = backend.open(first);
                TopKEncoder secondEncoder = backend.open(second);
                TopKEncoder wideEncoder = backend.open(wide)) {
            for (TopKEncoder encoder : List.of(secondEncoder, firstEncoder, wideEncoder, secondEncoder)) {
                assertEncodes(encoder, encoder.dictionary());
            }
            // One that comes when the others have encoded, in the place of one that left.
            secondEncoder.close();
            try (TopKEncoder late = backend.open(second)) {
                assertEncodes(late, second);
                assertEncodes(firstEncoder, first);
            }
        }
    }

    @EachBackend
    void aReloadTakesChangedWeightsAndThoseOfItsOwnEncoderOnly(EncoderBackend backend) {
        try (Dictionary changed = random(5);
                Dictionary other = random(6);
                Dictionary source = random(99);
                TopKEncoder changedEncoder = backend.open(changed);
                TopKEncoder otherEncoder = backend.open(other)) {
            assertEncodes(changedEncoder, changed);
            changed.encoderWeights().copyFrom(source.encoderWeights());
            changed.encoderBias().copyFrom(source.encoderBias());
            changed.decoderBias().copyFrom(source.decoderBias());
            changedEncoder.reload();
            assertEncodes(changedEncoder, source);
            assertEncodes(otherEncoder, other);
        }
    }

    @EachBackend
    void whatDoesNotFitIsRefused(EncoderBackend backend) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(5);
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(4, 700)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 4, D_HEAD, 6);
            assertThatThrownBy(() -> encoder.encode(vectors, 4, 601, codes))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("budget 601 of 600 latents");
            assertThatThrownBy(() -> encoder.encode(vectors, 4, 0, codes)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> encoder.encode(vectors, 5, 8, codes))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("5 rows of 24 floats");
            assertThatThrownBy(() -> encoder.encode(vectors, -1, 8, codes))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    /** A dictionary of random weights. */
    protected static Dictionary random(int dHead, int latents, long seed) {
        return RandomDictionaries.dictionary(SITE, RopeStage.PRE, dHead, latents, seed);
    }

    /** Encodes with an encoder of its own. */
    protected static void encode(
            EncoderBackend backend,
            Dictionary dictionary,
            MemorySegment vectors,
            int rows,
            int budget,
            CodeBatch codes) {
        try (TopKEncoder encoder = backend.open(dictionary)) {
            encoder.encode(vectors, rows, budget, codes);
        }
    }

    /** Holds all codes of a batch against their definition. */
    protected static void assertRight(Dictionary dictionary, MemorySegment vectors, CodeBatch codes) {
        CodeCheck check = new CodeCheck(dictionary);
        for (int row = 0; row < codes.rows(); row++) {
            assertThat(check.disagreement(vectors, codes, row)).isEmpty();
        }
    }

    /** {@code part} holds the rows of {@code whole} from {@code from} on, at the same budget or a smaller one. */
    protected static void assertPrefix(CodeBatch whole, int from, CodeBatch part) {
        for (int row = 0; row < part.rows(); row++) {
            assertThat(part.count(row)).isEqualTo(Math.min(part.budget(), whole.count(from + row)));
            for (int pair = 0; pair < part.count(row); pair++) {
                assertThat(part.index(row, pair)).isEqualTo(whole.index(from + row, pair));
                assertThat(part.coefficient(row, pair)).isEqualTo(whole.coefficient(from + row, pair));
            }
        }
    }

    private static Dictionary random(long seed) {
        return random(D_HEAD, LATENTS, seed);
    }

    /** A dictionary whose pre-activations are its biases. */
    private static Dictionary biased(IntToDoubleFunction bias) {
        Dictionary dictionary = Dictionary.allocate(SITE, RopeStage.PRE, D_HEAD, LATENTS);
        for (int latent = 0; latent < LATENTS; latent++) {
            dictionary.encoderBias().setAtIndex(JAVA_FLOAT, latent, (float) bias.applyAsDouble(latent));
        }
        return dictionary;
    }

    private static CodeBatch encodeZeros(EncoderBackend backend, Dictionary dictionary, int rows, int budget) {
        CodeBatch codes = CodeBatch.allocate(rows, budget);
        try (Arena arena = Arena.ofShared()) {
            encode(backend, dictionary, arena.allocate((long) rows * D_HEAD * Float.BYTES), rows, budget, codes);
        }
        return codes;
    }

    private static int[] indices(CodeBatch codes, int row) {
        return IntStream.range(0, codes.count(row))
                .map(pair -> codes.index(row, pair))
                .toArray();
    }

    private static void assertEncodes(TopKEncoder encoder, Dictionary as) {
        try (Arena arena = Arena.ofShared();
                CodeBatch codes = CodeBatch.allocate(70, 12)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 70, as.dHead(), 6);
            encoder.encode(vectors, 70, 12, codes);
            assertRight(as, vectors, codes);
        }
    }
}
