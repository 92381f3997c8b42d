package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

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
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class RefinementTest {
    private static final Site SITE = Site.of(1, VectorKind.VALUE);

    /** Squared errors of the refined code may exceed the oracle's by this part of the vector's square: fp32 against fp64. */
    private static final double TOLERANCE = 2e-5;

    @ParameterizedTest(name = "d {0}, M {1}, K {2}, C {3}")
    @CsvSource({
        "1,1,1,1",
        "16,64,4,16",
        "24,65,8,17",
        "33,300,5,63",
        "64,200,16,64",
        "80,500,16,65",
        "128,1000,16,64",
        "128,700,8,128",
        "7,40,7,40",
        "128,256,32,40"
    })
    void everyChoiceLeavesTheLeastError(int dHead, int latents, int budget, int candidates) {
        int rows = 19;
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, dHead, latents, 3);
                CodeBatch codes = CodeBatch.allocate(rows, budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, dHead, 4);
            encode(dictionary, Refinement.pursuit(candidates), vectors, rows, budget, codes);
            for (int row = 0; row < rows; row++) {
                List<Integer> among = candidates == latents
                        ? IntStream.range(0, latents).boxed().toList()
                        : candidates(dictionary, vectors, rows, row, Math.max(budget, candidates));
                assertFollowsTheDefinition(dictionary, vectors, row, among, codes);
            }
        }
    }

    @ParameterizedTest(name = "d {0}, M {1}, K {2}, C {3}")
    @CsvSource({"16,64,4,16", "33,300,5,63", "80,500,16,65", "7,90,3,24"})
    void everyChoiceLeavesTheLeastErrorInTheDictionarysMetric(int dHead, int latents, int budget, int candidates) {
        int rows = 7;
        try (Arena arena = Arena.ofShared();
                Dictionary plain = RandomDictionaries.dictionary(SITE, RopeStage.PRE, dHead, latents, 3);
                Dictionary weighed = WeighedDictionaries.of(plain, 8);
                CodeBatch plainCodes = CodeBatch.allocate(rows, budget);
                CodeBatch codes = CodeBatch.allocate(rows, budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, dHead, 4);
            encode(plain, Refinement.pursuit(candidates), vectors, rows, budget, plainCodes);
            encode(weighed, Refinement.pursuit(candidates), vectors, rows, budget, codes);
            ScalarPursuit oracle = new ScalarPursuit(weighed);
            double ofPlain = 0;
            double ofWeighed = 0;
            for (int row = 0; row < rows; row++) {
                List<Integer> among = candidates == latents
                        ? IntStream.range(0, latents).boxed().toList()
                        : candidates(weighed, vectors, rows, row, Math.max(budget, candidates));
                assertFollowsTheDefinition(weighed, vectors, row, among, codes);
                ofPlain += oracle.error(vectors, row, atoms(plainCodes, row));
                ofWeighed += oracle.error(vectors, row, atoms(codes, row));
            }
            assertThat(ofWeighed).isLessThan(ofPlain);
        }
    }

    @ParameterizedTest(name = "d {0}, M {1}, K {2}, C {3}, metric {4}, bound {5}")
    @CsvSource({
        "1,3,1,3,false,0.5",
        "16,64,1,16,false,0.9",
        "24,65,8,17,false,0.7",
        "33,200,10,40,true,0.6",
        "64,100,16,24,false,0.5",
        "80,90,9,25,true,0.4",
        "7,40,7,40,false,0.2",
        "48,70,12,70,false,0.05"
    })
    void aBoundedCodeEndsWhereItsErrorIsSmallEnough(
            int dHead, int latents, int budget, int candidates, boolean weighed, double bound) {
        int rows = 21;
        Refinement bounded = Refinement.pursuit(candidates, bound);
        try (Arena arena = Arena.ofShared();
                Dictionary plain = RandomDictionaries.dictionary(SITE, RopeStage.PRE, dHead, latents, 3);
                Dictionary withMetric = WeighedDictionaries.of(plain, 8);
                CodeBatch whole = CodeBatch.allocate(rows, budget);
                CodeBatch codes = CodeBatch.allocate(rows, budget)) {
            Dictionary dictionary = weighed ? withMetric : plain;
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, dHead, 4);
            encode(dictionary, Refinement.pursuit(candidates), vectors, rows, budget, whole);
            encode(dictionary, bounded, vectors, rows, budget, codes);
            ScalarPursuit oracle = new ScalarPursuit(dictionary, Coefficients.FP16, bounded);
            int same = 0;
            for (int row = 0; row < rows; row++) {
                List<Integer> chosen = atoms(codes, row);
                int count = chosen.size();
                assertThat(chosen).isEqualTo(atoms(whole, row).subList(0, count));
                double square = oracle.square(vectors, row);
                double slack = TOLERANCE * square;
                if (count < codes.budget() && count < whole.count(row)) {
                    assertThat(oracle.error(vectors, row, chosen)).isLessThanOrEqualTo(bound * bound * square + slack);
                }
                if (count > 0) {
                    assertThat(oracle.error(vectors, row, chosen.subList(0, count - 1)))
                            .as("row %d without its last pair", row)
                            .isGreaterThan(bound * bound * square - slack);
                }
                assertThat(codes.coefficient(row, budget - 1) == 0 || count == budget)
                        .isTrue();
                List<Integer> among = candidates == latents
                        ? IntStream.range(0, latents).boxed().toList()
                        : candidates(dictionary, vectors, rows, row, Math.max(budget, candidates));
                same += oracle.code(vectors, row, among, budget).atoms().size() == count ? 1 : 0;
            }
            // Where fp32 and fp64 lie on two sides of the bound they part.
            assertThat(same).isGreaterThanOrEqualTo(rows - 1);
        }
    }

    @Test
    void aSmallerBoundTakesMorePairs() {
        int rows = 50;
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, 48, 200, 3);
                CodeBatch codes = CodeBatch.allocate(rows, 40)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, 48, 4);
            long before = 0;
            for (double bound : new double[] {0.999, 0.8, 0.6, 0.4}) {
                encode(dictionary, Refinement.pursuit(200, bound), vectors, rows, 40, codes);
                assertThat(codes.pairs()).isGreaterThan(before);
                before = codes.pairs();
            }
            encode(dictionary, Refinement.pursuit(200, 1e-6), vectors, rows, 40, codes);
            assertThat(codes.pairs()).as("the bound is never met").isEqualTo(40L * rows);
        }
    }

    @Test
    void aRefitKeepsTheEncodersAtomsAndFitsThem() {
        int rows = 40;
        int budget = 12;
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, 48, 222, 5);
                CodeBatch codes = CodeBatch.allocate(rows, budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, 48, 6);
            encode(dictionary, Refinement.REFIT, vectors, rows, budget, codes);
            for (int row = 0; row < rows; row++) {
                List<Integer> atoms = candidates(dictionary, vectors, rows, row, budget);
                assertThat(atoms(codes, row)).containsExactlyInAnyOrderElementsOf(atoms);
                assertFollowsTheDefinition(dictionary, vectors, row, atoms, codes);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"BITS_4, 16, 32", "BITS_4, 8, 200", "BITS_6, 16, 32", "BITS_8, 5, 20"})
    void coefficientsThatWillBeLevelsAreFittedAsLevels(Coefficients form, int budget, int candidates) {
        int rows = 60;
        Refinement refinement = Refinement.pursuit(candidates);
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, 48, 200, 3);
                CodeBatch exact = CodeBatch.allocate(rows, budget);
                CodeBatch codes = CodeBatch.allocate(rows, budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, 48, 4);
            encode(dictionary, refinement, Coefficients.FP16, vectors, rows, budget, exact);
            encode(dictionary, refinement, form, vectors, rows, budget, codes);
            double fitted = 0;
            double rounded = 0;
            int same = 0;
            for (int row = 0; row < rows; row++) {
                assertThat(atoms(codes, row)).isEqualTo(atoms(exact, row));
                float[] kept = coefficients(codes, row);
                form.round(kept);
                assertThat(kept).as("row %d is on levels", row).containsExactly(coefficients(codes, row));
                double[] expected = new ScalarPursuit(dictionary, form, refinement)
                        .code(vectors, row, atoms(codes, row), budget)
                        .coefficients();
                same += close(kept, expected) ? 1 : 0;
                fitted += error(dictionary, vectors, row, codes);
                float[] plain = coefficients(exact, row);
                form.round(plain);
                MemorySegment.copy(plain, 0, exact.coefficients(), JAVA_FLOAT, (long) row * budget * 4, budget);
                rounded += error(dictionary, vectors, row, exact);
            }
            // Where fp32 and fp64 lie on two sides of the middle between levels they part.
            assertThat(same).isGreaterThan(rows * 9 / 10);
            assertThat(fitted).isLessThan(rounded);
        }
    }

    private static boolean close(float[] kept, double[] expected) {
        for (int i = 0; i < expected.length; i++) {
            if (Math.abs(kept[i] - expected[i]) > 1e-5 * (1 + Math.abs(expected[i]))) {
                return false;
            }
        }
        return true;
    }

    private static float[] coefficients(CodeBatch codes, int row) {
        float[] coefficients = new float[codes.budget()];
        for (int pair = 0; pair < coefficients.length; pair++) {
            coefficients[pair] = codes.coefficient(row, pair);
        }
        return coefficients;
    }

    @Test
    void aVectorMadeOfFewAtomsIsFoundExactlyAndItsCodeEndsThere() {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, 64, 128, 7);
                CodeBatch codes = CodeBatch.allocate(1, 8)) {
            MemorySegment vector = arena.allocate(64 * Float.BYTES, 64);
            for (int d = 0; d < 64; d++) {
                float x = dictionary.decoderBias().getAtIndex(JAVA_FLOAT, d)
                        + 3 * dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, 11 * 64 + d)
                        - 2 * dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, 90 * 64 + d);
                vector.setAtIndex(JAVA_FLOAT, d, x);
            }
            encode(dictionary, Refinement.pursuit(128), vector, 1, 8, codes);
            assertThat(atoms(codes, 0)).containsExactly(11, 90);
            assertThat(codes.coefficient(0, 0)).isCloseTo(3f, within(1e-4f));
            assertThat(codes.coefficient(0, 1)).isCloseTo(-2f, within(1e-4f));
            assertThat(codes.coefficient(0, 2)).isZero();
            assertThat(codes.index(0, 2)).isZero();
        }
    }

    @Test
    void theCentreItselfHasAnEmptyCode() {
        try (Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, 16, 32, 8);
                CodeBatch codes = CodeBatch.allocate(1, 4)) {
            for (Refinement refinement : List.of(Refinement.pursuit(32), Refinement.pursuit(32, 0.5))) {
                encode(dictionary, refinement, dictionary.decoderBias(), 1, 4, codes);
                assertThat(codes.count(0)).isZero();
            }
        }
    }

    @Test
    void anAtomThatAnotherOneEqualsIsNotTakenTwice() {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, 16, 32, 9);
                CodeBatch codes = CodeBatch.allocate(1, 16)) {
            MemorySegment.copy(dictionary.decoderWeights(), 0, dictionary.decoderWeights(), 5 * 16 * 4, 16 * 4);
            MemorySegment vector = arena.allocate(16 * Float.BYTES, 64);
            for (int d = 0; d < 16; d++) {
                float x = dictionary.decoderBias().getAtIndex(JAVA_FLOAT, d)
                        + 4 * dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, d)
                        + dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, 9 * 16 + d);
                vector.setAtIndex(JAVA_FLOAT, d, x);
            }
            encode(dictionary, Refinement.pursuit(32), vector, 1, 16, codes);
            assertThat(atoms(codes, 0)).containsExactly(0, 9);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "none",
                "refit",
                "pursuit:64",
                "pursuit:4096",
                "pursuit:64:0.2",
                "pursuit:8:0.0625",
                "pursuit:8:0.0001"
            })
    void theTextFormIsReadBack(String text) {
        assertThat(Refinement.parse(text).label()).isEqualTo(text);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "pursuit",
                "pursuit:",
                "pursuit:0",
                "pursuit:-3",
                "omp",
                "refit:3",
                "refit:3:0.2",
                "pursuit:64:",
                "pursuit:64:-0.2",
                "pursuit:64:0.",
                "pursuit:64:0.2:1",
                "pursuit:64:0",
                "pursuit:64:1",
                "pursuit:64:1.5",
                "pursuit:64:7e-1"
            })
    void anotherTextIsRefused(String text) {
        assertThatThrownBy(() -> Refinement.parse(text))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("pursuit:64");
    }

    @Test
    void aVectorThatIsNotFiniteIsNamed() {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, 16, 32, 9);
                CodeBatch codes = CodeBatch.allocate(40, 4)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 40, 16, 2);
            vectors.setAtIndex(JAVA_FLOAT, 33 * 16 + 2, Float.NaN);
            for (int candidates : new int[] {8, 32}) {
                assertThatThrownBy(() -> encode(dictionary, Refinement.pursuit(candidates), vectors, 40, 4, codes))
                        .isInstanceOf(NonFiniteVectorException.class)
                        .hasMessageContaining("33");
            }
        }
    }

    private static void encode(
            Dictionary dictionary,
            Refinement refinement,
            MemorySegment vectors,
            int rows,
            int budget,
            CodeBatch codes) {
        encode(dictionary, refinement, Coefficients.FP16, vectors, rows, budget, codes);
    }

    private static void encode(
            Dictionary dictionary,
            Refinement refinement,
            Coefficients form,
            MemorySegment vectors,
            int rows,
            int budget,
            CodeBatch codes) {
        try (EncoderBackend base = new ScalarEncoderProvider().start(1);
                EncoderBackend backend = new RefinedBackend(base, refinement, form, 2);
                TopKEncoder encoder = backend.open(dictionary)) {
            encoder.encode(vectors, rows, budget, codes);
        }
    }

    private static List<Integer> candidates(
            Dictionary dictionary, MemorySegment vectors, int rows, int row, int count) {
        try (CodeBatch candidates = CodeBatch.allocate(rows, count);
                TopKEncoder encoder = new ScalarTopKEncoder(dictionary)) {
            encoder.encode(vectors, rows, count, candidates);
            return atoms(candidates, row);
        }
    }

    private static List<Integer> atoms(CodeBatch codes, int row) {
        List<Integer> atoms = new ArrayList<>();
        for (int pair = 0; pair < codes.count(row); pair++) {
            atoms.add(codes.index(row, pair));
        }
        return atoms;
    }

    /** Rounding may decide between choices that are equally good, so each is held against the best one after the same beginning. */
    private static void assertFollowsTheDefinition(
            Dictionary dictionary, MemorySegment vectors, int row, List<Integer> among, CodeBatch codes) {
        ScalarPursuit oracle = new ScalarPursuit(dictionary);
        List<Integer> chosen = atoms(codes, row);
        double slack = TOLERANCE * oracle.square(vectors, row);
        assertThat(among).containsAll(chosen);
        assertThat(chosen).doesNotHaveDuplicates();
        assertThat(chosen)
                .hasSize(
                        oracle.code(vectors, row, among, codes.budget()).atoms().size());
        for (int k = 0; k < chosen.size(); k++) {
            List<Integer> before = chosen.subList(0, k);
            double best = Double.POSITIVE_INFINITY;
            for (int candidate : among) {
                if (!before.contains(candidate)) {
                    List<Integer> extended = new ArrayList<>(before);
                    extended.add(candidate);
                    best = Math.min(best, oracle.error(vectors, row, extended));
                }
            }
            assertThat(oracle.error(vectors, row, chosen.subList(0, k + 1)))
                    .as("row %d, choice %d", row, k)
                    .isLessThanOrEqualTo(best + slack);
        }
        assertThat(error(dictionary, vectors, row, codes))
                .as("row %d, error of the coefficients", row)
                .isLessThanOrEqualTo(oracle.error(vectors, row, chosen) + slack);
    }

    private static double error(Dictionary dictionary, MemorySegment vectors, int row, CodeBatch codes) {
        return WeighedDictionaries.error(dictionary, dictionary.metric(), vectors, row, codes);
    }
}
