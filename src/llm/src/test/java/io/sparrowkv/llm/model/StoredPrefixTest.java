package io.sparrowkv.llm.model;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.NDManager;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.BlockStore;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a text's known beginning changes: the time it takes, and nothing else. */
class StoredPrefixTest {
    private static final int CHUNK = 100;

    /** Of the largest logit. The chunks are cut elsewhere, and libtorch sums products of other sizes in another order. */
    private static final double TOLERANCE = 1e-4;

    private static final long CAPACITY = 16 << 20;

    @TempDir
    Path folder;

    private record Run(int reused, float[] logits) {}

    /** Reads {@code tokens} and gives the logits after the last {@code tail} of them, read one by one as generation does. */
    private static Run run(
            CausalLm lm,
            DictionarySet dictionaries,
            CacheOptions options,
            ChronicleBlockStore known,
            int[] tokens,
            int tail) {
        float[] logits = new float[tail * TinyModel.VOCABULARY];
        try (EncoderBackend encoders = Encoders.start("scalar", 1);
                BlockStore store = new ArrowBlockStore(1 << 24)) {
            SparseCache sparse =
                    new SparseCache(lm.config().attentionShape(), lm.rotary(), dictionaries, encoders, store, options);
            try (KvCache cache = known == null ? new SparseKvCache(sparse) : new SparseKvCache(sparse, known);
                    NDManager manager = Libtorch.newManager()) {
                int prompt = tokens.length - tail + 1;
                int reused = cache.restore(Arrays.copyOf(tokens, prompt), prompt - 1);
                int from = reused;
                for (int row = 0; from < tokens.length; ) {
                    int to = from + 1 < prompt ? Math.min(prompt - 1, from + CHUNK) : from + 1;
                    float[] last = lm.forward(manager, Arrays.copyOfRange(tokens, from, to), cache, true)
                            .toFloatArray();
                    if (to >= prompt) {
                        System.arraycopy(last, 0, logits, row++ * TinyModel.VOCABULARY, last.length);
                    }
                    from = to;
                }
                assertThat(cache.length()).isEqualTo(tokens.length);
                return new Run(reused, logits);
            }
        }
    }

    @ParameterizedTest
    // The last column: both forks lie in the seventh block; a window of one block was kept before the fifth at the
    // nearest.
    @CsvSource({
        "llama, PRE, 128, 4, 6, none, fp16",
        "llama, POST, 0, 3, 6, none, fp16",
        "mistral, POST, 65, 0, 5, none, fp16",
        "llama, PRE, 128, 4, 6, pursuit:20:0.6, 8",
        "llama, POST, 0, 3, 6, pursuit:20:0.6, 8"
    })
    void resultsAreThoseOfReadingAllTokens(
            String family,
            RopeStage stage,
            int window,
            int sinks,
            int atFirstFork,
            String refinement,
            String coefficients)
            throws IOException {
        TinyModel.of(family)
                .set("head_dim", 16)
                .set("num_hidden_layers", 3)
                .set("sliding_window", 300)
                .set("max_position_embeddings", 2048)
                .write(folder);
        int tail = 20;
        int[] first = CausalLmTest.tokens(sinks + 9 * 64 + 30 + tail);
        int[] fork = first.clone();
        fork[sinks + 6 * 64 + 11] ^= 1;
        int[] thirdFork = first.clone();
        thirdFork[sinks + 6 * 64 + 30] ^= 1;
        CacheOptions options = CacheOptions.defaults()
                .withWindow(window)
                .withSinks(sinks)
                .withThreads(1)
                .withRefinement(Refinement.parse(refinement))
                .withCoefficients(Coefficients.parse(coefficients));
        try (CausalLm lm = CausalLm.load(folder);
                DictionarySet dictionaries = RandomDictionaries.set(
                        lm.config().layers(), 0, stage, lm.config().dHead(), 64, 96, 1);
                ChronicleBlockStore known = ChronicleBlockStore.create(
                        folder.resolve("store"),
                        options.storeProfile(lm.config().attentionShape(), lm.fingerprint(), dictionaries),
                        CAPACITY,
                        Sync.CLOSE)) {
            int[] expected = {0, sinks + 9 * 64, sinks + atFirstFork * 64, sinks + 6 * 64, sinks + 9 * 64};
            int[][] texts = {first, first, fork, thirdFork, fork};
            for (int i = 0; i < texts.length; i++) {
                float[] all =
                        run(lm, dictionaries, options, null, texts[i], tail).logits();
                Run again = run(lm, dictionaries, options, known, texts[i], tail);
                assertThat(again.reused()).as("text %d", i).isEqualTo(expected[i]);
                assertThat(worst(all, again.logits()))
                        .as("text %d, %d reused", i, again.reused())
                        .isLessThan(TOLERANCE);
            }
            assertThat(known.counters().damaged()).isZero();
        }
    }

    private static double worst(float[] one, float[] other) {
        double worst = 0;
        double largest = 0;
        for (int i = 0; i < one.length; i++) {
            worst = Math.max(worst, Math.abs(one[i] - other[i]));
            largest = Math.max(largest, Math.abs(one[i]));
        }
        return worst / largest;
    }
}
