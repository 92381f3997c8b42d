package io.sparrowkv.llm.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.capture.Tap;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.DType;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.node.NullNode;

class CausalLmTest {
    private static final double TOLERANCE = 1e-4;

    @TempDir
    Path folder;

    static Stream<Arguments> models() {
        return Stream.of(
                arguments("llama", TinyModel.llama()),
                arguments("llama, MHA, kv heads absent", TinyModel.llama().set("num_key_value_heads", null)),
                arguments(
                        "llama, MQA, tied, F16",
                        TinyModel.llama()
                                .set("num_key_value_heads", 1)
                                .set("tie_word_embeddings", true)
                                .dtype(DType.F16)),
                arguments(
                        "llama, all biases, one layer",
                        TinyModel.llama()
                                .set("attention_bias", true)
                                .set("mlp_bias", true)
                                .set("num_hidden_layers", 1)),
                arguments(
                        "llama, linear scaling, old form",
                        TinyModel.llama().set("rope_scaling", Map.of("type", "linear", "factor", 4.0))),
                arguments(
                        "llama, linear scaling, new form, BF16, shards",
                        TinyModel.llama()
                                .set("rope_theta", null)
                                .set("dtype", "bfloat16")
                                .set("rope_parameters", Map.of("rope_type", "linear", "factor", 2.5, "rope_theta", 5e5))
                                .dtype(DType.BF16)
                                .shards(3)),
                arguments(
                        "llama, llama3 scaling",
                        TinyModel.llama()
                                .set(
                                        "rope_parameters",
                                        Map.of(
                                                "rope_type",
                                                "llama3",
                                                "rope_theta",
                                                5e5,
                                                "factor",
                                                8.0,
                                                "low_freq_factor",
                                                1.0,
                                                "high_freq_factor",
                                                4.0,
                                                "original_max_position_embeddings",
                                                32))),
                arguments(
                        "mistral, explicit head_dim, window 5",
                        TinyModel.of("mistral").set("head_dim", 24).set("sliding_window", 5)),
                arguments("mistral, window 1", TinyModel.of("mistral").set("sliding_window", 1)),
                arguments(
                        "mistral, window null, tied",
                        TinyModel.of("mistral")
                                .set("sliding_window", NullNode.getInstance())
                                .set("tie_word_embeddings", true)),
                arguments(
                        "qwen2, odd sizes, F16",
                        TinyModel.of("qwen2")
                                .set("hidden_size", 60)
                                .set("num_attention_heads", 6)
                                .set("num_key_value_heads", 3)
                                .set("intermediate_size", 37)
                                .dtype(DType.F16)),
                arguments(
                        "qwen2, upper layers slide",
                        TinyModel.of("qwen2")
                                .set("num_hidden_layers", 3)
                                .set("use_sliding_window", true)
                                .set("sliding_window", 7)
                                .set("max_window_layers", 1)),
                arguments(
                        "qwen2, layer types",
                        TinyModel.of("qwen2")
                                .set("use_sliding_window", true)
                                .set("sliding_window", 3)
                                .set("layer_types", List.of("sliding_attention", "full_attention"))),
                arguments(
                        "qwen3, norms, head_dim",
                        TinyModel.of("qwen3")
                                .set("head_dim", 16)
                                .set("num_attention_heads", 6)
                                .set("num_key_value_heads", 2)),
                arguments(
                        "qwen3, norms, biases, BF16, tied, shards",
                        TinyModel.of("qwen3")
                                .set("head_dim", 8)
                                .set("attention_bias", true)
                                .set("tie_word_embeddings", true)
                                .dtype(DType.BF16)
                                .shards(2)));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("models")
    void logitsKeysAndValuesEqualTheReferenceHoweverTheTextIsCut(String name, TinyModel model) {
        model.write(folder);
        int[] tokens = tokens(41);
        ReferenceModel.Trace expected = new ReferenceModel(folder).run(tokens);
        try (CausalLm lm = CausalLm.load(folder);
                NDManager manager = Libtorch.newManager()) {
            for (int chunk : new int[] {41, 16, 1}) {
                RecordingProbe probe = new RecordingProbe();
                try (KvCache cache = new DenseKvCache(lm.config().attentionShape(), chunk)) {
                    for (int from = 0; from < tokens.length; from += chunk) {
                        int to = Math.min(tokens.length, from + chunk);
                        NDArray logits = lm.forward(manager, Arrays.copyOfRange(tokens, from, to), cache, false, probe);
                        assertClose(expected.logits().subList(from, to), rows(logits));
                    }
                    assertThat(cache.length()).isEqualTo(tokens.length);
                }
                for (int layer = 0; layer < lm.config().layers(); layer++) {
                    assertClose(expected.keyProjection().get(layer), probe.of(layer, RecordingProbe.PROJECTION));
                    assertClose(expected.keysBeforeRope().get(layer), probe.of(layer, Tap.KEY_PRE.label()));
                    assertClose(expected.keysAfterRope().get(layer), probe.of(layer, Tap.KEY_POST.label()));
                    assertClose(expected.values().get(layer), probe.of(layer, Tap.VALUE.label()));
                }
            }
        }
    }

    @Test
    void theLastLogitsAloneEqualTheLastOfAll() {
        TinyModel.llama().write(folder);
        try (CausalLm lm = CausalLm.load(folder);
                NDManager manager = Libtorch.newManager();
                KvCache one = new DenseKvCache(lm.config().attentionShape(), 9);
                KvCache other = new DenseKvCache(lm.config().attentionShape(), 9)) {
            float[] all = lm.forward(manager, tokens(9), one, false).get("8:9").toFloatArray();
            lm.read(tokens(8), other);
            NDArray last = lm.forward(manager, new int[] {tokens(9)[8]}, other, true);
            assertThat(last.getShape().getShape()).containsExactly(1, TinyModel.VOCABULARY);
            assertClose(List.of(widen(all)), List.of(last.toFloatArray()));
        }
    }

    @Test
    void observingUpToALayerShowsTheSameAsReadingAll() {
        TinyModel.llama().set("num_hidden_layers", 3).write(folder);
        int[] tokens = tokens(12);
        ReferenceModel.Trace expected = new ReferenceModel(folder).run(tokens);
        RecordingProbe probe = new RecordingProbe();
        try (CausalLm lm = CausalLm.load(folder);
                KvCache cache = new DenseKvCache(lm.config().attentionShape(), 12)) {
            lm.observe(tokens, cache, 1, probe);
        }
        assertClose(expected.keysAfterRope().get(1), probe.of(1, Tap.KEY_POST.label()));
        assertClose(expected.values().get(0), probe.of(0, Tap.VALUE.label()));
        assertThat(probe.of(2, Tap.VALUE.label())).isNull();
    }

    @Test
    void copiesInOtherPrecisionsAndFilesShareAFingerprintAndOtherWeightsDoNot() {
        // fp16 values stored as fp16, then the same values as fp32 in shards
        TinyModel.llama().dtype(DType.F16).write(folder.resolve("half"));
        try (CausalLm half = CausalLm.load(folder.resolve("half"))) {
            TinyModel.llama().shards(2).write(folder.resolve("single"));
            TinyModel.llama().dtype(DType.F16).shards(2).write(folder.resolve("shards"));
            TinyModel.llama().dtype(DType.F16).seed(2).write(folder.resolve("other"));
            TinyModel.llama().dtype(DType.F16).set("rope_theta", 20000).write(folder.resolve("theta"));
            assertThat(fingerprint("shards")).isEqualTo(half.fingerprint()).hasSize(32);
            assertThat(fingerprint("other")).isNotEqualTo(half.fingerprint());
            assertThat(fingerprint("theta")).isNotEqualTo(half.fingerprint());
            assertThat(fingerprint("single")).isNotEqualTo(half.fingerprint()); // never rounded to fp16
            TestWeights.widen(folder.resolve("half"), folder.resolve("widened"));
            assertThat(fingerprint("widened")).isEqualTo(half.fingerprint());
        }
    }

    private String fingerprint(String name) {
        try (CausalLm lm = CausalLm.load(folder.resolve(name))) {
            return lm.fingerprint();
        }
    }

    @Test
    void nothingIsLeftBehindByThousandsOfSteps() {
        TinyModel.of("mistral").set("sliding_window", 6).write(folder);
        try (CausalLm lm = CausalLm.load(folder);
                NDManager manager = Libtorch.newManager();
                KvCache cache = new DenseKvCache(lm.config().attentionShape(), 16)) {
            int arrays = manager.getParentManager().getManagedArrays().size();
            for (int i = 0; i < 3000; i++) {
                lm.forward(manager, new int[] {i % TinyModel.VOCABULARY}, cache, true)
                        .close();
            }
            assertThat(manager.getManagedArrays()).isEmpty();
            assertThat(manager.getParentManager().getManagedArrays()).hasSize(arrays);
            assertThat(cache.length()).isEqualTo(3000);
            assertThat(cache.byteSize())
                    .isLessThanOrEqualTo(DenseKvCache.bytesNeeded(lm.config().attentionShape(), 3000));
        }
    }

    @Test
    void aTokenOutsideTheVocabularyIsRefused() {
        TinyModel.llama().write(folder);
        try (CausalLm lm = CausalLm.load(folder);
                KvCache cache = new DenseKvCache(lm.config().attentionShape(), 1)) {
            assertThatThrownBy(() -> lm.read(new int[] {TinyModel.VOCABULARY}, cache))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("320", "0..319");
        }
    }

    static int[] tokens(int count) {
        return new Random(7).ints(count, 0, TinyModel.VOCABULARY).toArray();
    }

    private static List<float[]> rows(NDArray logits) {
        float[] all = logits.toFloatArray();
        int width = (int) logits.getShape().get(1);
        return Stream.iterate(0, i -> i < all.length, i -> i + width)
                .map(i -> Arrays.copyOfRange(all, i, i + width))
                .toList();
    }

    private static double[] widen(float[] values) {
        double[] widened = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            widened[i] = values[i];
        }
        return widened;
    }

    private static void assertClose(List<double[]> expected, List<float[]> found) {
        assertThat(found).hasSameSizeAs(expected);
        double largest = 0;
        double worst = 0;
        for (int row = 0; row < expected.size(); row++) {
            assertThat(found.get(row)).hasSize(expected.get(row).length);
            for (int i = 0; i < expected.get(row).length; i++) {
                largest = Math.max(largest, Math.abs(expected.get(row)[i]));
                worst = Math.max(worst, Math.abs(expected.get(row)[i] - found.get(row)[i]));
            }
        }
        assertThat(worst / largest).isLessThan(TOLERANCE);
    }
}
