package io.sparrowkv.llm.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Offset.offset;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DenseKvCacheTest {
    @TempDir
    Path folder;

    /** Lengths and windows beyond a tile, so that tiles, masks and moved rows all take part. */
    @ParameterizedTest
    @CsvSource({"0, 700, 300", "0, 5000, 1100", "100, 700, 300", "2000, 5000, 1100", "1, 70, 30", "33, 900, 1"})
    void tilesAndWindowsGiveTheAttentionOfTheWholeMatrix(int window, int tokens, int chunk) {
        TinyModel.of("mistral")
                .set("num_hidden_layers", 1)
                .set("head_dim", 8)
                .set("sliding_window", Math.max(1, window))
                .write(folder);
        ModelConfig config = ModelConfig.read(folder);
        if (window == 0) {
            TinyModel.llama().set("num_hidden_layers", 1).write(folder);
            config = ModelConfig.read(folder);
        }
        int d = config.dHead();
        Random random = new Random(3);
        float[] queries = gaussian(random, tokens * config.heads() * d);
        float[] keys = gaussian(random, tokens * config.kvHeads() * d);
        float[] values = gaussian(random, tokens * config.kvHeads() * d);
        try (DenseKvCache cache = new DenseKvCache(config.attentionShape(), 10);
                NDManager manager = Libtorch.newManager()) {
            for (int from = 0; from < tokens; from += chunk) {
                int count = Math.min(chunk, tokens - from);
                NDArray output = cache.attend(
                        0,
                        rows(manager, queries, from, count, config.heads(), d),
                        rows(manager, keys, from, count, config.kvHeads(), d),
                        rows(manager, values, from, count, config.kvHeads(), d));
                assertThat(output.getShape()).isEqualTo(new Shape(count, config.heads(), d));
                float[] found = output.toFloatArray();
                for (int t : new int[] {0, count / 2, count - 1}) {
                    for (int head = 0; head < config.heads(); head++) {
                        double[] expected = attention(config, queries, keys, values, from + t, head, window);
                        for (int i = 0; i < d; i++) {
                            assertThat((double) found[(t * config.heads() + head) * d + i])
                                    .as("token %d head %d", from + t, head)
                                    .isCloseTo(expected[i], offset(1e-4));
                        }
                    }
                }
            }
            assertThat(cache.length()).isEqualTo(tokens);
        }
    }

    private static double[] attention(
            ModelConfig config, float[] queries, float[] keys, float[] values, int position, int head, int window) {
        int d = config.dHead();
        int kvHead = head / (config.heads() / config.kvHeads());
        int first = window == 0 ? 0 : Math.max(0, position - window + 1);
        double[] mixed = new double[d];
        double sum = 0;
        for (int t = first; t <= position; t++) {
            double score = 0;
            for (int i = 0; i < d; i++) {
                score += (double) queries[(position * config.heads() + head) * d + i]
                        * keys[(t * config.kvHeads() + kvHead) * d + i];
            }
            double weight = Math.exp(score / Math.sqrt(d));
            sum += weight;
            for (int i = 0; i < d; i++) {
                mixed[i] += weight * values[(t * config.kvHeads() + kvHead) * d + i];
            }
        }
        for (int i = 0; i < d; i++) {
            mixed[i] /= sum;
        }
        return mixed;
    }

    private static NDArray rows(NDManager manager, float[] all, int from, int count, int heads, int d) {
        return manager.create(
                Arrays.copyOfRange(all, from * heads * d, (from + count) * heads * d), new Shape(count, heads, d));
    }

    private static float[] gaussian(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }
}
