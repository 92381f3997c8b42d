package io.sparrowkv.llm.model;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.NDManager;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.BlockStore;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class SparseKvCacheTest {
    private static final int TOKENS = 300;

    @TempDir
    Path folder;

    /** Logits after each of {@code TOKENS} tokens, read in chunks. */
    private static float[] logits(CausalLm lm, KvCache cache, int chunk) {
        int[] tokens = CausalLmTest.tokens(TOKENS);
        float[] all = new float[TOKENS * TinyModel.VOCABULARY];
        try (cache;
                NDManager manager = Libtorch.newManager()) {
            for (int from = 0; from < TOKENS; from += chunk) {
                int to = Math.min(TOKENS, from + chunk);
                float[] rows = lm.forward(manager, Arrays.copyOfRange(tokens, from, to), cache, false)
                        .toFloatArray();
                System.arraycopy(rows, 0, all, from * TinyModel.VOCABULARY, rows.length);
            }
            assertThat(cache.length()).isEqualTo(TOKENS);
            assertThat(cache.byteSize()).isPositive();
        }
        return all;
    }

    private static float[] sparseLogits(CausalLm lm, RopeStage stage, CacheOptions options, int chunk) {
        ModelConfig config = lm.config();
        try (DictionarySet dictionaries = RandomDictionaries.set(config.layers(), 0, stage, config.dHead(), 64, 96, 1);
                EncoderBackend encoders = Encoders.start("scalar", 1);
                BlockStore store = new ArrowBlockStore(1 << 24)) {
            SparseCache cache =
                    new SparseCache(config.attentionShape(), lm.rotary(), dictionaries, encoders, store, options);
            return logits(lm, new SparseKvCache(cache), chunk);
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

    @ParameterizedTest
    @ValueSource(strings = {"llama", "mistral", "qwen3"})
    void aWindowLongerThanTheTextGivesTheDenseModel(String family) {
        TinyModel.of(family).set("head_dim", 16).set("sliding_window", 50).write(folder);
        try (CausalLm lm = CausalLm.load(folder)) {
            float[] dense = logits(lm, new DenseKvCache(lm.config().attentionShape(), TOKENS), 128);
            float[] sparse =
                    sparseLogits(lm, RopeStage.POST, CacheOptions.defaults().withWindow(512), 128);
            assertThat(worst(dense, sparse)).isLessThan(1e-4);
        }
    }

    @ParameterizedTest
    @EnumSource(RopeStage.class)
    void resultsDoNotDependOnHowTheTextIsCutAndCodesAreRead(RopeStage stage) {
        TinyModel.llama().set("head_dim", 16).write(folder);
        CacheOptions options = CacheOptions.defaults().withWindow(40);
        try (CausalLm lm = CausalLm.load(folder)) {
            float[] whole = sparseLogits(lm, stage, options, TOKENS);
            assertThat(worst(whole, sparseLogits(lm, stage, options, 77))).isLessThan(1e-4);
            assertThat(worst(whole, sparseLogits(lm, stage, options, 1))).isLessThan(1e-4);
            float[] dense = logits(lm, new DenseKvCache(lm.config().attentionShape(), TOKENS), 128);
            assertThat(worst(dense, whole)).isGreaterThan(1e-3); // random dictionaries: codes must show
        }
    }
}
