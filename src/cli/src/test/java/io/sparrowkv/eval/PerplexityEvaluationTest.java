package io.sparrowkv.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.attention.Budgets;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.SparseKvCache;
import io.sparrowkv.llm.model.TinyModel;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PerplexityEvaluationTest {
    private static final int CONTEXT = 230;
    private static final CacheOptions OPTIONS =
            CacheOptions.defaults().withThreads(2).withWindow(32).withBudgets(Budgets.of(8, 16));

    private static CausalLm lm;
    private static DictionarySet dictionaries;
    private static EncoderBackend encoders;
    private static ArrowBlockStore store;

    @BeforeAll
    static void open(@TempDir Path folder) {
        lm = CausalLm.load(TinyModel.llama().seed(5).write(folder));
        dictionaries = RandomDictionaries.set(
                lm.config().layers(), 0, RopeStage.POST, lm.config().dHead(), 200, 200, 9);
        encoders = Encoders.start("vector", 2);
        store = new ArrowBlockStore(1 << 24);
    }

    @AfterAll
    static void close() {
        store.close();
        encoders.close();
        dictionaries.close();
        lm.close();
    }

    @Test
    void aWindowLongerThanTheContextGivesTheDenseModel() {
        PerplexityEvaluation.Result result = run(OPTIONS.withWindow(CONTEXT), 64);
        assertThat(result.comparison().meanKl()).isLessThan(1e-6);
        assertThat(result.comparison().top1Agreement()).isGreaterThan(0.99);
        assertThat(result.comparison().candidateNll())
                .isCloseTo(result.comparison().referenceNll(), within(1e-4));
    }

    @Test
    void codesChangeThePredictionsAndTheResultDoesNotDependOnTheChunk() {
        PerplexityEvaluation.Result atOnce = run(OPTIONS, CONTEXT);
        PerplexityEvaluation.Result inPieces = run(OPTIONS, 37);
        assertThat(atOnce.comparison().meanKl()).isGreaterThan(1e-3);
        assertThat(inPieces.comparison().meanKl()).isCloseTo(atOnce.comparison().meanKl(), within(1e-4));
        assertThat(inPieces.comparison().candidateNll())
                .isCloseTo(atOnce.comparison().candidateNll(), within(1e-4));
    }

    @Test
    void everyTokenButTheFirstOfAContextIsPredictedAndEveryByteCounted() {
        PerplexityEvaluation.Result result = run(OPTIONS, 64);
        assertThat(result.comparison().predicted()).isEqualTo(2 * (CONTEXT - 1) + CONTEXT / 2 - 1);
        // Sinks 4, then 64-token blocks: three whole ones fit in 230 tokens, one in 115.
        long rows = (3 + 3 + 1) * 64L * lm.config().kvHeads() * lm.config().layers();
        assertThat(result.bytes().keyIndices()).isEqualTo(rows * 8 * Short.BYTES);
        assertThat(result.bytes().valueCoefficients()).isEqualTo(rows * 16 * Short.BYTES);
        assertThat(result.bytes().tokens()).isEqualTo(result.tokens());
    }

    @Test
    void progressGrowsToTheNumberOfTokens() {
        List<Integer> seen = new ArrayList<>();
        evaluation(OPTIONS, 100).run(ids(), seen::add);
        assertThat(seen).isSorted().endsWith(ids().length).hasSizeGreaterThan(4);
    }

    private static PerplexityEvaluation.Result run(CacheOptions options, int chunk) {
        return evaluation(options, chunk).run(ids(), done -> {}).getFirst();
    }

    @Test
    void knownTokensThatAreNotScoredNeedNotBeRead(@TempDir Path folder) throws IOException {
        CacheOptions options = OPTIONS.withSinks(4);
        int unscored = 4 + 3 * 64 + 10;
        PerplexityEvaluation.Result all = evaluation(options, 64, unscored, Optional.empty())
                .run(ids(), done -> {})
                .getFirst();
        assertThat(all.comparison().predicted()).isEqualTo(2 * (CONTEXT - unscored));
        try (ChronicleBlockStore known = ChronicleBlockStore.create(
                folder,
                options.storeProfile(lm.config().attentionShape(), lm.fingerprint(), dictionaries),
                64 << 20,
                Sync.CLOSE)) {
            for (int restored : new int[] {0, 2 * (4 + 3 * 64)}) {
                PerplexityEvaluation.Result result = evaluation(options, 64, unscored, Optional.of(known))
                        .run(ids(), done -> {})
                        .getFirst();
                assertThat(result.restoredTokens()).isEqualTo(restored);
                assertThat(result.comparison().predicted())
                        .isEqualTo(all.comparison().predicted());
                assertThat(result.comparison().candidateNll())
                        .isCloseTo(all.comparison().candidateNll(), within(1e-4));
                assertThat(result.comparison().meanKl())
                        .isCloseTo(all.comparison().meanKl(), within(1e-4));
            }
        }
    }

    private static PerplexityEvaluation evaluation(CacheOptions options, int chunk) {
        return evaluation(options, chunk, 1, Optional.empty());
    }

    private static PerplexityEvaluation evaluation(
            CacheOptions options, int chunk, int unscored, Optional<ChronicleBlockStore> known) {
        Supplier<SparseKvCache> caches = () -> {
            SparseCache cache =
                    new SparseCache(lm.config().attentionShape(), lm.rotary(), dictionaries, encoders, store, options);
            return known.isPresent() ? new SparseKvCache(cache, known.get()) : new SparseKvCache(cache);
        };
        return new PerplexityEvaluation(lm, List.of(new CacheUnderTest("sparse", caches)), CONTEXT, chunk, unscored);
    }

    /** Two and a half contexts. */
    private static int[] ids() {
        return new Random(3)
                .ints(2 * CONTEXT + CONTEXT / 2, 0, TinyModel.VOCABULARY)
                .toArray();
    }
}
