package io.sparrowkv.llm.model;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.capture.Tap;
import io.sparrowkv.safetensors.SafetensorsFile;
import io.sparrowkv.safetensors.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Every conformance model against what Hugging Face transformers computed from the same files. */
class ConformanceTest {
    private static final double TOLERANCE = 1e-4;

    @ParameterizedTest
    @ValueSource(
            strings = {"llama-mha", "llama3-rope-scaled", "mistral-sliding", "qwen2-bias-sharded", "yi-gqa-theta5e6"})
    void logitsKeysAndValuesEqualTheGoldens(String name) {
        Path folder = SharedData.require("conformance/" + name);
        try (SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                CausalLm lm = CausalLm.load(folder);
                KvCache cache = new DenseKvCache(lm.config().attentionShape(), 96);
                NDManager manager = Libtorch.newManager()) {
            RecordingProbe probe = new RecordingProbe();
            NDArray logits = lm.forward(manager, ids(golden.tensor("input_ids")), cache, false, probe);

            assertClose("logits", logits.toFloatArray(), floats(golden, "logits"));
            for (int layer = 0; layer < lm.config().layers(); layer++) {
                assertClose(
                        "k_proj." + layer,
                        join(probe.of(layer, RecordingProbe.PROJECTION)),
                        floats(golden, "k_proj." + layer));
                assertClose(
                        "k_proj." + layer,
                        join(probe.of(layer, Tap.KEY_PRE.label())),
                        floats(golden, "k_proj." + layer));
                assertLastTokens(
                        golden,
                        "key." + layer,
                        probe.of(layer, Tap.KEY_POST.label()),
                        lm.config().dHead());
                assertLastTokens(
                        golden,
                        "value." + layer,
                        probe.of(layer, Tap.VALUE.label()),
                        lm.config().dHead());
            }
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"llama-mha", "llama3-rope-scaled", "mistral-sliding", "qwen2-bias-sharded", "yi-gqa-theta5e6"})
    void greedyContinuationEqualsTheGolden(String name) {
        Path folder = SharedData.require("conformance/" + name);
        try (SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"));
                CausalLm lm = CausalLm.load(folder);
                KvCache cache = new DenseKvCache(lm.config().attentionShape(), 24);
                NDManager manager = Libtorch.newManager()) {
            int[] expected = ids(golden.tensor("greedy"));
            int[] found = Arrays.copyOf(expected, 24);
            int[] chunk = found;
            while (found.length < expected.length) {
                int next =
                        (int) lm.forward(manager, chunk, cache, true).argMax().getLong();
                found = Arrays.copyOf(found, found.length + 1);
                found[found.length - 1] = next;
                chunk = new int[] {next};
            }
            assertThat(found).containsExactly(expected);
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"llama-mha", "llama3-rope-scaled", "mistral-sliding", "qwen2-bias-sharded", "yi-gqa-theta5e6"})
    void theReferenceModelEqualsTheGoldensToo(String name) {
        Path folder = SharedData.require("conformance/" + name);
        try (SafetensorsFile golden = SafetensorsFile.open(folder.resolve("golden.safetensors"))) {
            ReferenceModel.Trace trace = new ReferenceModel(folder).run(ids(golden.tensor("input_ids")));
            assertClose("logits", joinDoubles(trace.logits()), floats(golden, "logits"));
            for (int layer = 0; layer < trace.values().size(); layer++) {
                assertClose(
                        "k_proj." + layer,
                        joinDoubles(trace.keyProjection().get(layer)),
                        floats(golden, "k_proj." + layer));
            }
        }
    }

    /** A golden of the cache is {@code [1, kvHeads, T, dHead]}, of the last T tokens. */
    private static void assertLastTokens(SafetensorsFile golden, String name, List<float[]> found, int dHead) {
        long[] shape = golden.tensor(name).shape();
        int kept = (int) shape[2];
        float[] expected = floats(golden, name);
        float[] actual = new float[expected.length];
        for (int head = 0; head < shape[1]; head++) {
            for (int t = 0; t < kept; t++) {
                float[] row = found.get(found.size() - kept + t);
                System.arraycopy(row, head * dHead, actual, (head * kept + t) * dHead, dHead);
            }
        }
        assertClose(name, actual, expected);
    }

    private static void assertClose(String what, float[] found, float[] expected) {
        assertThat(found).as(what).hasSameSizeAs(expected);
        double largest = 0;
        double worst = 0;
        for (int i = 0; i < expected.length; i++) {
            largest = Math.max(largest, Math.abs(expected[i]));
            worst = Math.max(worst, Math.abs(expected[i] - found[i]));
        }
        assertThat(worst / largest).as(what).isLessThan(TOLERANCE);
    }

    private static float[] join(List<float[]> rows) {
        float[] joined = new float[rows.size() * rows.getFirst().length];
        for (int i = 0; i < rows.size(); i++) {
            System.arraycopy(rows.get(i), 0, joined, i * rows.getFirst().length, rows.getFirst().length);
        }
        return joined;
    }

    private static float[] joinDoubles(List<double[]> rows) {
        List<float[]> narrowed = new ArrayList<>();
        for (double[] row : rows) {
            float[] values = new float[row.length];
            for (int i = 0; i < row.length; i++) {
                values[i] = (float) row[i];
            }
            narrowed.add(values);
        }
        return join(narrowed);
    }

    private static int[] ids(Tensor tensor) {
        return Arrays.stream(tensor.data().toArray(ValueLayout.JAVA_LONG_UNALIGNED))
                .mapToInt(Math::toIntExact)
                .toArray();
    }

    private static float[] floats(SafetensorsFile file, String name) {
        float[] values = new float[(int) file.tensor(name).elements()];
        file.readFloats(name, MemorySegment.ofArray(values));
        return values;
    }
}
