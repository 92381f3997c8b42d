package io.sparrowkv.llm.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Percentage.withPercentage;

import ai.djl.ndarray.NDManager;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Trained models on real text against what Hugging Face transformers computed. */
class PerplexityTest {
    @ParameterizedTest
    @ValueSource(ints = {0, 3}) // contexts of 512 tokens: gutenberg-7m and tinystories-656k
    void negativeLogLikelihoodEqualsTheGolden(int index) throws IOException {
        Path goldens = SharedData.require("conformance/perplexity.json");
        JsonNode run = JsonMapper.shared()
                .readTree(Files.readString(goldens))
                .path("runs")
                .path(index);
        Path folder = SharedData.require(run.path("model").asString());
        String text = Files.readString(SharedData.require(run.path("text").asString()));
        int count = run.path("tokens").asInt();
        int context = run.path("context").asInt();
        try (CausalLm lm = CausalLm.load(folder);
                TextTokenizer tokenizer = TextTokenizer.load(folder, lm.config().vocabulary());
                NDManager manager = Libtorch.newManager()) {
            int[] ids = Arrays.copyOf(tokenizer.encode(text.substring(0, Math.min(text.length(), 8 * count))), count);
            for (int i = 0; i < run.path("first_ids").size(); i++) {
                assertThat(ids[i]).isEqualTo(run.path("first_ids").path(i).asInt());
            }
            double nll = 0;
            int predicted = 0;
            for (int from = 0; from < count; from += context) {
                int[] chunk = Arrays.copyOfRange(ids, from, Math.min(count, from + context));
                try (KvCache cache = new DenseKvCache(lm.config().attentionShape(), chunk.length);
                        NDManager scope = manager.newSubManager()) {
                    float[] rows = lm.forward(scope, chunk, cache, false)
                            .logSoftmax(-1)
                            .toFloatArray();
                    for (int i = 0; i + 1 < chunk.length; i++) {
                        nll -= rows[i * lm.config().vocabulary() + chunk[i + 1]];
                        predicted++;
                    }
                }
            }
            assertThat(predicted).isEqualTo(run.path("predicted").asInt());
            assertThat(nll / predicted).isCloseTo(run.path("nll_per_token").asDouble(), withPercentage(0.01));
        }
    }
}
