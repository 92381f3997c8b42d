package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.NonFiniteVectorException;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.encode.ScalarEncoderProvider;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class SparseCacheTest {
    private static final long STORE_LIMIT = 64 << 20;

    /** A model's queries, keys and values of one layer, and what reads them. */
    private record Scene(
            AttentionShape shape,
            CacheOptions options,
            RopeStage rope,
            int latents,
            Heads heads,
            int tokens,
            double spread,
            long seed) {

        static Scene of(AttentionShape shape, CacheOptions options, int tokens) {
            return new Scene(shape, options, RopeStage.POST, 70, Heads.SHARED, tokens, 1, 7);
        }

        Scene rope(RopeStage stage) {
            return new Scene(shape, options, stage, latents, heads, tokens, spread, seed);
        }

        Scene latents(int count) {
            return new Scene(shape, options, rope, count, heads, tokens, spread, seed);
        }

        Scene heads(Heads how) {
            return new Scene(shape, options, rope, latents, how, tokens, spread, seed);
        }

        Scene spread(double factor) {
            return new Scene(shape, options, rope, latents, heads, tokens, factor, seed);
        }

        DictionarySet dictionaries() {
            int layers = shape.layers();
            int kvHeads = shape.kvHeads();
            int dHead = shape.dHead();
            return switch (heads) {
                case SHARED -> RandomDictionaries.set(layers, 0, rope, dHead, latents, latents + 3, seed);
                case EACH -> RandomDictionaries.set(layers, kvHeads, rope, dHead, latents, latents + 3, seed);
                case JOINT -> RandomDictionaries.jointSet(layers, kvHeads, rope, dHead, latents, latents + 3, seed);
            };
        }

        float[] queries(int layer) {
            return floats(tokens * shape.heads() * shape.dHead(), seed + layer, spread);
        }

        float[] keys(int layer) {
            return floats(tokens * shape.kvHeads() * shape.dHead(), seed + 100 + layer, spread);
        }

        float[] values(int layer) {
            return floats(tokens * shape.kvHeads() * shape.dHead(), seed + 200 + layer, 1);
        }

        float[] inverseFrequencies() {
            float[] frequencies = new float[shape.dHead() / 2];
            for (int i = 0; i < frequencies.length; i++) {
                frequencies[i] = (float) Math.pow(10000, -2.0 * i / shape.dHead());
            }
            return frequencies;
        }

        double[] expected(int layer) {
            try (DictionarySet dictionaries = dictionaries()) {
                return new DecodedAttention(shape, options, dictionaries, inverseFrequencies())
                        .attend(layer, queries(layer), keys(layer), values(layer), tokens);
            }
        }

        /** Runs all layers chunk by chunk and returns the outputs by layer. */
        List<float[]> run(int... chunks) {
            try (DictionarySet dictionaries = dictionaries();
                    EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                    ArrowBlockStore store = new ArrowBlockStore(STORE_LIMIT)) {
                List<float[]> outputs = new ArrayList<>();
                try (SparseCache cache = new SparseCache(
                        shape, new RotaryEmbedding(inverseFrequencies()), dictionaries, encoders, store, options)) {
                    for (int layer = 0; layer < shape.layers(); layer++) {
                        outputs.add(new float[tokens * shape.heads() * shape.dHead()]);
                    }
                    int start = 0;
                    for (int i = 0; start < tokens; i++) {
                        int count = Math.min(chunks[Math.min(i, chunks.length - 1)], tokens - start);
                        for (int layer = 0; layer < shape.layers(); layer++) {
                            attend(cache, layer, start, count, outputs.get(layer));
                        }
                        start += count;
                    }
                    assertThat(cache.length()).isEqualTo(tokens);
                }
                assertThat(store.statistics().bytes()).isZero();
                return outputs;
            }
        }

        void attend(SparseCache cache, int layer, int start, int count, float[] output) {
            try (Arena arena = Arena.ofShared()) {
                int queryWidth = shape.heads() * shape.dHead();
                int keyWidth = shape.kvHeads() * shape.dHead();
                MemorySegment out = arena.allocate((long) count * queryWidth * Float.BYTES, 4);
                cache.attend(
                        layer,
                        part(arena, queries(layer), start * queryWidth, count * queryWidth),
                        part(arena, keys(layer), start * keyWidth, count * keyWidth),
                        part(arena, values(layer), start * keyWidth, count * keyWidth),
                        count,
                        out);
                MemorySegment.copy(out, JAVA_FLOAT, 0, output, start * queryWidth, count * queryWidth);
            }
        }

        void matchesOracle(int... chunks) {
            List<float[]> outputs = run(chunks);
            for (int layer = 0; layer < shape.layers(); layer++) {
                assertClose(outputs.get(layer), expected(layer), "layer " + layer);
            }
        }
    }

    @ParameterizedTest(name = "d={0} heads={1}/{2} latents={3} window={4} sinks={5} chunk={6} {7}")
    @CsvSource({
        "16, 4, 4, 33, 1, 0, 1, POST",
        "16, 4, 4, 33, 1, 0, 1, PRE",
        "24, 8, 4, 70, 64, 4, 63, POST",
        "24, 8, 4, 70, 64, 4, 63, PRE",
        "80, 6, 2, 129, 0, 4, 65, POST",
        "80, 6, 2, 129, 0, 4, 65, PRE",
        "128, 8, 2, 100, 128, 4, 200, POST",
        "128, 8, 2, 100, 128, 4, 200, PRE",
        "16, 8, 1, 70, 1, 70, 64, POST",
        "16, 8, 1, 70, 0, 0, 1, PRE",
        "24, 3, 3, 40, 0, 0, 200, POST",
        "24, 40, 1, 40, 17, 3, 7, POST",
        "24, 6, 2, 40, 1000, 4, 65, POST",
        "22, 6, 2, 47, 5, 0, 100, PRE",
        "6, 2, 1, 17, 3, 1, 50, PRE",
    })
    void equalsDenseAttentionOverTheDecodedVectors(
            int dHead, int heads, int kvHeads, int latents, int window, int sinks, int chunk, RopeStage rope) {
        Scene.of(
                        AttentionShape.of(1, heads, kvHeads, dHead),
                        options(window, sinks).withBudgets(Budgets.of(5, 9)),
                        331)
                .latents(latents)
                .rope(rope)
                .matchesOracle(chunk);
    }

    @ParameterizedTest
    @EnumSource(RopeStage.class)
    void doesNotDependOnTheChunks(RopeStage rope) {
        Scene scene =
                Scene.of(AttentionShape.of(1, 8, 2, 24), options(64, 4), 420).rope(rope);
        float[] atOnce = scene.run(420).getFirst();
        assertClose(scene.run(1).getFirst(), atOnce, "token by token");
        assertClose(scene.run(1, 63, 64, 65, 200).getFirst(), atOnce, "mixed");
        assertClose(scene.run(200, 1, 1, 1, 65, 63).getFirst(), atOnce, "mixed, another way");
    }

    @ParameterizedTest
    @CsvSource({"10, 64, 4", "100, 64, 4", "100, 0, 0", "65, 128, 70", "300, 1, 4"})
    void slidingWindowsHideOldTokens(int sliding, int window, int sinks) {
        AttentionShape shape = new AttentionShape(2, 4, 2, 16, 0.25f, List.of(AttentionShape.UNLIMITED, sliding));
        Scene scene = Scene.of(shape, options(window, sinks), 450);
        scene.matchesOracle(450);
        scene.matchesOracle(64, 1, 130, 3);
        scene.rope(RopeStage.PRE).matchesOracle(90);
    }

    @ParameterizedTest
    @CsvSource({"POST, 0", "POST, 64", "PRE, 0", "PRE, 64"})
    void sitesWithBudgetZeroAreKeptAsTheyAre(RopeStage rope, int window) {
        Budgets budgets = Budgets.of(5, 9)
                .with(0, VectorKind.KEY, Budgets.DENSE)
                .with(1, VectorKind.VALUE, Budgets.DENSE)
                .with(2, VectorKind.KEY, Budgets.DENSE)
                .with(2, VectorKind.VALUE, Budgets.DENSE);
        Scene.of(AttentionShape.of(3, 6, 3, 24), options(window, 4).withBudgets(budgets), 300)
                .rope(rope)
                .matchesOracle(130, 1, 64);
    }

    @ParameterizedTest
    @CsvSource({"POST, 0", "POST, 64", "PRE, 0", "PRE, 64"})
    void headsMayHaveDictionariesOfTheirOwn(RopeStage rope, int window) {
        Scene.of(AttentionShape.of(2, 6, 3, 24), options(window, 4), 300)
                .rope(rope)
                .heads(Heads.EACH)
                .matchesOracle(130, 1, 64);
    }

    @ParameterizedTest(name = "{0} KV heads of {1}, window {2}, {3}, chunk {4}")
    @CsvSource({
        "1, 16, 0, POST, 1",
        "1, 24, 10, PRE, 63",
        "2, 80, 0, PRE, 65",
        "2, 128, 64, POST, 200",
        "3, 24, 64, POST, 1",
        "3, 80, 10, PRE, 90",
        "4, 16, 64, PRE, 250",
        "4, 22, 0, POST, 33",
    })
    void headsMayBeCodedTogether(int kvHeads, int dHead, int window, RopeStage rope, int chunk) {
        CacheOptions options = options(window, 4).withBudgets(Budgets.of(5, 9));
        Scene scene = Scene.of(AttentionShape.of(2, 2 * kvHeads, kvHeads, dHead), options, 220)
                .rope(rope)
                .heads(Heads.JOINT);
        scene.matchesOracle(chunk);
        Scene.of(scene.shape(), options.withBudgets(Budgets.of(3, 9), Budgets.of(7, 12)), 150)
                .rope(rope)
                .heads(Heads.JOINT)
                .matchesOracle(100, 1);
    }

    @ParameterizedTest(name = "{0} KV heads of {1}, {2} residual bits, {3}, window {4}, {5}, chunk {6}")
    @CsvSource({
        "1, 16, 1, none, 0, POST, 63",
        "2, 128, 1, pursuit:20, 64, PRE, 1",
        "2, 80, 0, pursuit:20, 0, PRE, 65",
        "3, 24, 2, refit, 10, PRE, 200",
        "3, 16, 1, pursuit:20, 64, POST, 1",
        "4, 16, 3, pursuit:20, 64, PRE, 250",
        "4, 20, 4, none, 0, POST, 100",
        "4, 22, 1, none, 64, PRE, 70",
    })
    void packedCodesAndResidualsOfHeadsTogetherAreReadAsTheyAre(
            int kvHeads, int dHead, int bits, String refinement, int window, RopeStage rope, int chunk) {
        CacheOptions options = options(window, 4)
                .withBudgets(Budgets.of(5, 9))
                .withRefinement(Refinement.parse(refinement))
                .withCoefficients(Coefficients.BITS_4)
                .withResidualBits(Budgets.of(bits, bits).with(1, VectorKind.KEY, 0));
        Scene scene = Scene.of(AttentionShape.of(2, 2 * kvHeads, kvHeads, dHead), options, 220)
                .rope(rope)
                .heads(Heads.JOINT);
        scene.matchesOracle(chunk);
        scene.matchesOracle(150, 1);
    }

    @Test
    void headsTogetherMayHaveSitesThatAreKeptAsTheyAre() {
        Budgets budgets =
                Budgets.of(5, 9).with(0, VectorKind.KEY, Budgets.DENSE).with(1, VectorKind.VALUE, Budgets.DENSE);
        Scene.of(AttentionShape.of(2, 6, 3, 24), options(64, 4).withBudgets(budgets), 200)
                .rope(RopeStage.PRE)
                .heads(Heads.JOINT)
                .matchesOracle(130, 1, 64);
    }

    @Test
    void readsASmallerBudgetThanIsStored() {
        Budgets stored = Budgets.of(12, 16);
        Budgets read = Budgets.of(3, 7).with(1, VectorKind.KEY, 12).with(1, VectorKind.VALUE, 1);
        Scene.of(AttentionShape.of(2, 4, 2, 24), options(10, 4).withBudgets(read, stored), 250)
                .matchesOracle(250);
    }

    @ParameterizedTest
    @CsvSource({"refit, 64, PRE", "refit, 0, POST", "pursuit:20, 64, POST", "pursuit:20, 0, PRE", "pursuit:33, 10, PRE"
    })
    void readsRefinedCodesWhoseCoefficientsMayBeNegative(String refinement, int window, RopeStage rope) {
        CacheOptions options =
                options(window, 4).withBudgets(Budgets.of(7, 9)).withRefinement(Refinement.parse(refinement));
        Scene.of(AttentionShape.of(1, 4, 2, 24), options, 250).rope(rope).matchesOracle(250);
        Scene.of(AttentionShape.of(1, 4, 2, 24), options, 150).rope(rope).matchesOracle(100, 1);
    }

    @ParameterizedTest(name = "{0} bits, {1}, window {2}, {3}, {4} latents, d={5}, chunk {6}")
    @CsvSource({
        "4, none, 64, POST, 4000, 24, 250",
        "4, none, 64, PRE, 4000, 128, 100",
        "4, none, 0, PRE, 70, 22, 250",
        "6, none, 64, PRE, 300, 24, 63",
        "8, none, 0, POST, 1025, 16, 70",
        "8, none, 10, PRE, 4097, 80, 200",
        "4, pursuit:20, 64, PRE, 700, 64, 250",
        "4, pursuit:30, 0, POST, 70, 64, 130",
        "6, refit, 64, POST, 300, 24, 100",
        "8, pursuit:33, 10, PRE, 70, 32, 90"
    })
    void readsPackedCodesAsTheyAre(
            String bits, String refinement, int window, RopeStage rope, int latents, int dHead, int chunk) {
        CacheOptions options = options(window, 4)
                .withBudgets(Budgets.of(7, 11), Budgets.of(9, 11))
                .withRefinement(Refinement.parse(refinement))
                .withCoefficients(Coefficients.parse(bits));
        Scene.of(AttentionShape.of(1, 4, 2, dHead), options, 220)
                .latents(latents)
                .rope(rope)
                .matchesOracle(chunk);
    }

    @ParameterizedTest(name = "{0} residual bits, {1}, window {2}, {3}, d={4}, chunk {5}")
    @CsvSource({
        "1, none, 64, POST, 128, 250",
        "1, none, 64, PRE, 128, 1",
        "1, pursuit:20, 64, PRE, 64, 100",
        "2, none, 0, POST, 24, 63",
        "3, none, 10, PRE, 80, 90",
        "4, refit, 64, PRE, 16, 200",
        "1, none, 0, PRE, 32, 50"
    })
    void readsWhatThePairsLeaveToo(int bits, String refinement, int window, RopeStage rope, int dHead, int chunk) {
        CacheOptions options = options(window, 4)
                .withBudgets(Budgets.of(5, 9))
                .withRefinement(Refinement.parse(refinement))
                .withCoefficients(Coefficients.BITS_4)
                .withResidualBits(bits);
        Scene scene = Scene.of(AttentionShape.of(1, 4, 2, dHead), options, 220).rope(rope);
        scene.matchesOracle(chunk);
        scene.heads(Heads.EACH).matchesOracle(70, 1);
    }

    @ParameterizedTest(name = "bound {0}, {1} bits, {2} residual bits, window {3}, {4}, d={5}, chunk {6}")
    @CsvSource({
        "0.7, 4, 0, 64, POST, 24, 250",
        "0.7, 4, 0, 64, PRE, 48, 1",
        "0.9, 6, 0, 0, PRE, 22, 63",
        "0.8, 4, 0, 0, POST, 24, 1",
        "0.8, 8, 0, 10, PRE, 36, 90",
        "0.7, 4, 1, 64, PRE, 24, 100",
        "0.7, 4, 2, 0, POST, 16, 70"
    })
    void readsCodesOfAsManyPairsAsTheirErrorsAskFor(
            double bound, String bits, int residualBits, int window, RopeStage rope, int dHead, int chunk) {
        CacheOptions options = options(window, 4)
                .withBudgets(Budgets.of(9, 14))
                .withRefinement(Refinement.pursuit(20, bound))
                .withCoefficients(Coefficients.parse(bits))
                .withResidualBits(residualBits);
        Scene.of(AttentionShape.of(1, 4, 2, dHead), options, 150).rope(rope).matchesOracle(chunk);
    }

    @ParameterizedTest
    @CsvSource({"0, POST", "10, POST", "64, PRE"})
    void residualsMayDifferBySite(int window, RopeStage rope) {
        Budgets bits = Budgets.of(0, 1).with(0, VectorKind.KEY, 2).with(1, VectorKind.VALUE, 0);
        CacheOptions options = options(window, 4)
                .withBudgets(Budgets.of(3, 5).with(0, VectorKind.VALUE, 9))
                .withCoefficients(Coefficients.BITS_4)
                .withResidualBits(bits);
        Scene.of(AttentionShape.of(2, 4, 2, 24), options, 250).rope(rope).matchesOracle(130, 1);
    }

    @Test
    void aSmallerBudgetLeavesTheResidualOut() {
        CacheOptions options = options(10, 4)
                .withBudgets(Budgets.of(3, 8), Budgets.of(5, 8))
                .withCoefficients(Coefficients.BITS_6)
                .withResidualBits(1);
        Scene.of(AttentionShape.of(2, 4, 2, 24), options, 250).matchesOracle(250);
        Scene.of(AttentionShape.of(2, 4, 2, 24), options, 250)
                .rope(RopeStage.PRE)
                .matchesOracle(130, 1);
    }

    @Test
    void layersMayHaveBudgetsOfTheirOwn() {
        Budgets budgets = Budgets.of(4, 8).with(0, VectorKind.KEY, 20).with(1, VectorKind.VALUE, 33);
        Scene.of(AttentionShape.of(2, 4, 2, 24), options(0, 0).withBudgets(budgets), 200)
                .matchesOracle(77);
    }

    @ParameterizedTest
    @CsvSource({"30, 64", "30, 0", "300, 64"})
    void staysFiniteWithHugeScores(double spread, int window) {
        // Wide spreads make one token take all: the oracle is exact, and rounding may pick another of two near ties.
        Scene scene = Scene.of(AttentionShape.of(1, 4, 2, 16), options(window, 4), 300)
                .spread(spread);
        float[] output = scene.run(64).getFirst();
        double[] expected = scene.expected(0);
        int far = 0;
        for (int i = 0; i < output.length; i++) {
            assertThat(output[i]).isFinite();
            far += Math.abs(output[i] - expected[i]) > 1e-2 * (1 + Math.abs(expected[i])) ? 1 : 0;
        }
        assertThat(far).isLessThan(output.length / 100);
    }

    @Test
    void severalThreadsGiveWhatOneGives() {
        AttentionShape shape = AttentionShape.of(1, 16, 4, 24);
        Scene alone = Scene.of(shape, options(64, 4).withThreads(1), 400);
        Scene team = Scene.of(shape, options(64, 4).withThreads(3), 400);
        assertClose(team.run(200, 1).getFirst(), alone.run(200, 1).getFirst(), "threads");
        assertThat(team.run(200, 1).getFirst()).containsExactly(team.run(200, 1).getFirst());
    }

    @Test
    void refusesBudgetsAndOptionsOutOfRange() {
        AttentionShape shape = AttentionShape.of(2, 4, 2, 16);
        CacheOptions good = options(64, 4);
        assertRefused(shape, good.withBudgets(Budgets.of(71, 16)), "--budget-key", "71", "70");
        assertRefused(shape, good.withBudgets(Budgets.of(8, 17), Budgets.of(8, 16)), "--stored-value", "16", "17");
        assertRefused(shape, good.withBudgets(Budgets.of(-1, 16)), "--budget-key", "-1", "0 to 70");
        assertRefused(shape, good.withBudgets(Budgets.of(0, 16), Budgets.of(8, 16)), "--stored-key", "8", "fp16");
        assertRefused(shape, good.withBudgets(Budgets.of(8, 16).with(2, VectorKind.KEY, 4)), "layer", "2");
        assertRefused(shape, good.withWindow(-1), "--window", "-1");
        assertRefused(shape, good.withSinks(-2), "--sinks", "-2");
        assertRefused(
                shape, good.withRefinement(Refinement.pursuit(64, 0.2)), "pursuit:64:0.2", "fp16", "--coefficients 4");
        assertRefused(shape, good.withResidualBits(1), "residual", "1", "fp16", "4");
        assertRefused(shape, good.withCoefficients(Coefficients.BITS_4).withResidualBits(5), "residual", "5", "4");
        assertRefused(
                shape,
                good.withCoefficients(Coefficients.BITS_4)
                        .withResidualBits(Budgets.of(1, 1).with(7, VectorKind.KEY, 0)),
                "layer",
                "7");
        assertRefused(AttentionShape.of(3, 4, 2, 16), good, "layer.02.key");
        assertRefused(AttentionShape.of(2, 4, 2, 24), good, "16", "24");
    }

    @Test
    void countsTheBytesOfEachPart() {
        AttentionShape shape = AttentionShape.of(2, 4, 2, 16);
        CacheOptions options = options(64, 4).withBudgets(Budgets.of(8, 16));
        Scene scene = Scene.of(shape, options, 400);
        try (DictionarySet dictionaries = scene.dictionaries();
                EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                ArrowBlockStore store = new ArrowBlockStore(STORE_LIMIT);
                SparseCache cache = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, options)) {
            float[] output = new float[400 * 4 * 16];
            for (int layer = 0; layer < 2; layer++) {
                scene.attend(cache, layer, 0, 400, output);
                scene.attend(cache, layer, 0, 1, output);
            }
            // 397 tokens after the sinks: 6 blocks.
            long codes = 2L * 6 * 64 * 2;
            CacheBytes bytes = cache.bytes();
            assertThat(bytes.tokens()).isEqualTo(401);
            assertThat(bytes.sinks()).isEqualTo(2L * 2 * 4 * 2 * 16 * 4);
            assertThat(bytes.keyIndices()).isEqualTo(codes * 8 * 2);
            assertThat(bytes.valueIndices()).isEqualTo(codes * 16 * 2);
            assertThat(bytes.window()).isBetween(2L * 2 * 77 * 2 * 16 * 4, 2L * 2 * 126 * 2 * 16 * 4);
            assertThat(bytes.denseFp16()).isEqualTo(401L * 2 * 2 * 2 * 16 * 2);
            assertThat(bytes.dictionaries()).isEqualTo(dictionaries.byteSize());
            assertThat(bytes.total()).isEqualTo(bytes.codes() + bytes.window() + bytes.sinks());
            assertThat(bytes.keyCoefficients()).isEqualTo(bytes.keyIndices());
        }
    }

    @Test
    void storedBytesAreTheBytesOfTheStore() {
        AttentionShape shape = AttentionShape.of(1, 4, 2, 16);
        Scene scene = Scene.of(shape, options(0, 4), 4 + 5 * 64);
        try (DictionarySet dictionaries = scene.dictionaries();
                EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                ArrowBlockStore store = new ArrowBlockStore(STORE_LIMIT);
                SparseCache cache = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, scene.options())) {
            scene.attend(cache, 0, 0, scene.tokens(), new float[scene.tokens() * 64]);
            assertThat(store.statistics().blocks()).isEqualTo(10);
            assertThat(cache.bytes().codes()).isEqualTo(store.statistics().bytes());
            assertThat(cache.bytes().keyIndices()).isEqualTo(5L * 64 * 2 * 8 * 2);
            assertThat(cache.bytes().valueCoefficients()).isEqualTo(5L * 64 * 2 * 16 * 2);
            assertThat(cache.bytes().window()).isZero();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 64})
    void countedCodesTakeTheBytesOfThePairsThatAreThere(int window) {
        AttentionShape shape = AttentionShape.of(1, 4, 2, 16);
        CacheOptions options = options(window, 4)
                .withBudgets(Budgets.of(16, 16))
                .withRefinement(Refinement.pursuit(30, 0.6))
                .withCoefficients(Coefficients.BITS_4);
        Scene scene = Scene.of(shape, options, 4 + 5 * 64 + 3).latents(4093);
        try (DictionarySet dictionaries = scene.dictionaries();
                EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                ArrowBlockStore store = new ArrowBlockStore(STORE_LIMIT);
                SparseCache cache = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, options)) {
            scene.attend(cache, 0, 0, scene.tokens(), new float[scene.tokens() * 64]);
            scene.attend(cache, 0, 0, 1, new float[64]); // the codes of the first chunk are there now
            CacheBytes bytes = cache.bytes();
            long pairs = 0;
            long indices = 0;
            long stored = 0;
            for (BlockKey key : store.keys()) {
                try (BlockLease lease = store.get(key).orElseThrow()) {
                    CodeBlockLayout layout = lease.layout();
                    assertThat(lease.body().byteSize()).isEqualTo(layout.byteSize(lease.body()));
                    stored += lease.body().byteSize();
                    pairs += layout.pairs(lease.body());
                    // Offsets of two heads and where they end, and 128 counts of 5 bits.
                    indices += layout.pairs(lease.body()) * 12 / 8 + 16 + 128 * 5 / 8;
                }
            }
            assertThat(pairs).isBetween(1L, 10L * 128 * 15);
            assertThat(stored).isEqualTo(store.statistics().bytes()).isLessThan(10L * 128 * (16 * 2 + 2));
            CodeBlockLayout open =
                    new CodeBlockLayout(Site.of(0, VectorKind.KEY), 2, 16, 16, options.pairs(4096, 0, VectorKind.KEY));
            int opened = window == 0 ? 2 : 0;
            assertThat(bytes.codes()).isEqualTo(stored + opened * open.byteSize());
            assertThat(bytes.indices()).isEqualTo(indices + opened * open.indexBytes());
            assertThat(bytes.scales()).isEqualTo((10L + opened) * 128 * 2);
        }
    }

    @Test
    void packedCodesTakeTheBytesThatTheirBitsNeed() {
        AttentionShape shape = AttentionShape.of(1, 4, 2, 16);
        CacheOptions options = options(0, 0).withBudgets(Budgets.of(8, 16)).withCoefficients(Coefficients.BITS_4);
        Scene scene = Scene.of(shape, options, 5 * 64).latents(4093); // and 4096 atoms of values: 12 bits
        try (DictionarySet dictionaries = scene.dictionaries();
                EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                ArrowBlockStore store = new ArrowBlockStore(STORE_LIMIT);
                SparseCache cache = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, options)) {
            scene.attend(cache, 0, 0, scene.tokens(), new float[scene.tokens() * 64]);
            long vectors = 5L * 64 * 2;
            CacheBytes bytes = cache.bytes();
            assertThat(bytes.codes()).isEqualTo(store.statistics().bytes());
            assertThat(bytes.perVector()).isEqualTo(8 * 2 + 2 + 16 * 2 + 2);
            assertThat(bytes.keyIndices()).isEqualTo(vectors * 8 * 12 / 8);
            assertThat(bytes.keyCoefficients()).isEqualTo(vectors * 8 * 4 / 8);
            assertThat(bytes.keyScales()).isEqualTo(vectors * 2);
            assertThat(bytes.valueIndices()).isEqualTo(vectors * 16 * 12 / 8);
            assertThat(bytes.valueScales()).isEqualTo(vectors * 2);
            assertThat(bytes.residuals()).isZero();
        }
    }

    @Test
    void aCodeOfAllHeadsIsCountedOnce() {
        AttentionShape shape = AttentionShape.of(1, 8, 4, 16);
        CacheOptions options = options(0, 0)
                .withBudgets(Budgets.of(8, 16))
                .withCoefficients(Coefficients.BITS_4)
                .withResidualBits(Budgets.of(0, 1));
        Scene scene = Scene.of(shape, options, 5 * 64).latents(4093).heads(Heads.JOINT);
        try (DictionarySet dictionaries = scene.dictionaries();
                EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                ArrowBlockStore store = new ArrowBlockStore(STORE_LIMIT);
                SparseCache cache = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, options)) {
            scene.attend(cache, 0, 0, scene.tokens(), new float[scene.tokens() * 128]);
            CacheBytes bytes = cache.bytes();
            assertThat(bytes.codes()).isEqualTo(store.statistics().bytes());
            // A key's pairs and scale, a value's, its residual of 64 numbers and that one's scale, for four heads.
            assertThat(bytes.perVector()).isEqualTo((8 * 2 + 2 + 16 * 2 + 2 + 64 / 8 + 2) / 4.0);
            assertThat(bytes.dictionaries()).isEqualTo(dictionaries.byteSize());
            for (VectorKind kind : VectorKind.values()) {
                assertThat(options.layout(shape, dictionaries, 0, kind).rows()).isEqualTo(64);
            }
        }
    }

    @Test
    void storesAndReadersThatKnowHeadsOneByOneRefuseJointDictionaries() {
        AttentionShape shape = AttentionShape.of(1, 4, 2, 16);
        try (DictionarySet joint = RandomDictionaries.jointSet(1, 2, RopeStage.POST, 16, 70, 70, 1)) {
            assertThatThrownBy(() -> options(64, 4).storeProfile(shape, "model", joint))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("each KV head", "together", "--heads shared");
            assertThatThrownBy(() -> CodedLayer.of(shape, joint, 0, Budgets.of(8, 8), 100))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("together", "--heads shared");
            assertThatThrownBy(() -> options(64, 4).validate(AttentionShape.of(1, 6, 3, 16), joint))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("layer.00.key.joint", "32", "48");
        }
    }

    @Test
    void slidingWindowsReleaseOldBlocks() {
        AttentionShape shape = new AttentionShape(1, 2, 2, 16, 0.25f, List.of(100));
        Scene scene = Scene.of(shape, options(10, 0), 1000);
        try (DictionarySet dictionaries = scene.dictionaries();
                EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                ArrowBlockStore store = new ArrowBlockStore(STORE_LIMIT);
                SparseCache cache = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, scene.options())) {
            float[] output = new float[1000 * 32];
            for (int start = 0; start < 1000; start += 50) {
                scene.attend(cache, 0, start, 50, output);
            }
            // 100 tokens reach into at most 3 blocks of 64, keys and values; one more of each may just be under way.
            assertThat(store.statistics().blocks()).isLessThanOrEqualTo(8);
        }
    }

    @Test
    void aFailureInTheBackgroundSurfacesInTheNextCall() {
        AttentionShape shape = AttentionShape.of(1, 2, 2, 16);
        Scene scene = Scene.of(shape, options(0, 0), 10);
        try (DictionarySet dictionaries = scene.dictionaries();
                EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                ArrowBlockStore store = new ArrowBlockStore(STORE_LIMIT);
                Arena arena = Arena.ofShared();
                SparseCache cache = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, scene.options())) {
            MemorySegment broken = arena.allocate(32 * 4, 4);
            broken.setAtIndex(JAVA_FLOAT, 5, Float.NaN);
            MemorySegment whole = arena.allocate(32 * 4, 4);
            assertThatThrownBy(() -> cache.attend(0, whole, broken, whole, 1, whole))
                    .isInstanceOf(NonFiniteVectorException.class)
                    .hasMessageContaining("layer.00.key");
            assertThatThrownBy(() -> cache.attend(0, whole, whole, whole, 1, whole))
                    .isInstanceOf(NonFiniteVectorException.class);
        }
    }

    @Test
    void aFullStoreIsSaidWithItsLimit() {
        AttentionShape shape = AttentionShape.of(1, 2, 2, 16);
        Scene scene = Scene.of(shape, options(0, 0), 300);
        try (DictionarySet dictionaries = scene.dictionaries();
                EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                ArrowBlockStore store = new ArrowBlockStore(20_000);
                SparseCache cache = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, scene.options())) {
            assertThatThrownBy(() -> scene.attend(cache, 0, 0, 300, new float[300 * 32]))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContaining("20000")
                    .hasMessageContaining("raise its limit");
        }
    }

    @Test
    void sequencesShareAStoreWithoutMixing() {
        AttentionShape shape = AttentionShape.of(1, 2, 1, 16);
        Scene one = Scene.of(shape, options(0, 0), 130);
        Scene two = new Scene(shape, one.options(), RopeStage.POST, 70, Heads.SHARED, 130, 2, 7);
        try (DictionarySet dictionaries = one.dictionaries();
                EncoderBackend encoders = new ScalarEncoderProvider().start(1);
                ArrowBlockStore store = new ArrowBlockStore(STORE_LIMIT);
                SparseCache first = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, one.options());
                SparseCache second = new SparseCache(
                        shape, RotaryEmbedding.plain(16, 10000), dictionaries, encoders, store, one.options())) {
            float[] outOne = new float[130 * 32];
            float[] outTwo = new float[130 * 32];
            one.attend(first, 0, 0, 65, outOne);
            two.attend(second, 0, 0, 65, outTwo);
            one.attend(first, 0, 65, 65, outOne);
            two.attend(second, 0, 65, 65, outTwo);
            assertClose(outOne, one.expected(0), "first");
            assertClose(outTwo, two.expected(0), "second");
        }
    }

    private static CacheOptions options(int window, int sinks) {
        return new CacheOptions(
                window,
                sinks,
                Budgets.of(8, 16),
                Budgets.of(8, 16),
                2,
                2,
                Refinement.NONE,
                Coefficients.FP16,
                Budgets.of(0, 0));
    }

    private static void assertRefused(AttentionShape shape, CacheOptions options, String... words) {
        try (DictionarySet dictionaries = RandomDictionaries.set(2, 0, RopeStage.POST, 16, 70, 73, 1)) {
            assertThatThrownBy(() -> options.validate(shape, dictionaries))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll(words);
        }
    }

    private static MemorySegment part(Arena arena, float[] all, int from, int count) {
        MemorySegment segment = arena.allocate((long) count * Float.BYTES, 4);
        MemorySegment.copy(all, from, segment, JAVA_FLOAT, 0, count);
        return segment;
    }

    private static float[] floats(int count, long seed, double spread) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] floats = new float[count];
        for (int i = 0; i < count; i++) {
            floats[i] = (float) (spread * random.nextDouble(-1, 1));
        }
        return floats;
    }

    private static void assertClose(float[] actual, float[] expected, String what) {
        double[] wide = new double[expected.length];
        for (int i = 0; i < wide.length; i++) {
            wide[i] = expected[i];
        }
        assertClose(actual, wide, what);
    }

    private static void assertClose(float[] actual, double[] expected, String what) {
        double largest = 0;
        double worst = 0;
        int at = -1;
        for (int i = 0; i < expected.length; i++) {
            largest = Math.max(largest, Math.abs(expected[i]));
            double off = Math.abs(actual[i] - expected[i]);
            if (!(off <= worst)) {
                worst = off;
                at = i;
            }
        }
        assertThat(worst).as("%s: largest difference, at element %d", what, at).isLessThan(1e-4 * largest);
    }
}
