package io.sparrowkv.llm.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.SafetensorsFile;
import io.sparrowkv.safetensors.SafetensorsWriter;
import io.sparrowkv.safetensors.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelWeightsTest {
    private static final String KEY = "model.layers.1.self_attn.k_proj.weight";

    @TempDir
    Path folder;

    private void assertRefused(String... parts) {
        assertThatThrownBy(() -> CausalLm.load(folder).close())
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll(parts)
                .message()
                .doesNotContain("\n");
    }

    /** Writes the model's one file anew with each tensor changed by {@code change}; null leaves it out. */
    private void rewrite(UnaryOperator<Tensor> change) {
        Path file = folder.resolve(ModelWeights.SINGLE_FILE);
        SafetensorsWriter writer = new SafetensorsWriter();
        try (SafetensorsFile old = SafetensorsFile.open(file)) {
            for (String name : old.names()) {
                Tensor changed = change.apply(old.tensor(name));
                if (changed != null) {
                    writer.add(changed);
                }
            }
            writer.write(file);
        }
    }

    @Test
    void aMissingTensorIsNamed() {
        TinyModel.llama().write(folder);
        rewrite(t -> t.name().equals(KEY) ? null : t);
        assertRefused("model.safetensors", KEY, "is missing");
    }

    @Test
    void aTensorOfAnotherShapeIsNamedWithBothShapes() {
        TinyModel.llama().write(folder);
        rewrite(t -> t.name().equals(KEY) ? new Tensor(KEY, t.dtype(), new long[] {8, 64}, t.data()) : t);
        assertRefused("model.safetensors", KEY, "[8, 64]", "[16, 32]");
    }

    @Test
    void aTensorOfAnIntegerTypeIsNamed() {
        TinyModel.llama().write(folder);
        rewrite(t -> t.name().equals(KEY) ? new Tensor(KEY, DType.I32, t.shape(), t.data()) : t);
        assertRefused("model.safetensors", KEY, "I32", "F32, F16 or BF16");
    }

    @Test
    void tensorsThatAreNotNeededDoNotMatter() {
        TinyModel.llama().write(folder);
        Tensor extra = new Tensor("extra", DType.I64, new long[] {1}, MemorySegment.ofArray(new long[1]));
        Path file = folder.resolve(ModelWeights.SINGLE_FILE);
        SafetensorsWriter writer = new SafetensorsWriter().add(extra);
        try (SafetensorsFile old = SafetensorsFile.open(file)) {
            old.names().forEach(name -> writer.add(old.tensor(name)));
            writer.write(file);
        }
        assertThatCode(() -> CausalLm.load(folder).close()).doesNotThrowAnyException();
    }

    @Test
    void anUntiedModelWithoutAHeadIsRefusedAndATiedOneIsNot() {
        TinyModel.llama().set("tie_word_embeddings", true).write(folder);
        assertThatCode(() -> CausalLm.load(folder).close()).doesNotThrowAnyException();
        try {
            String config = Files.readString(folder.resolve(ModelConfig.FILE));
            Files.writeString(
                    folder.resolve(ModelConfig.FILE),
                    config.replace("\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        assertRefused("lm_head.weight", "is missing");
    }

    @Test
    void ofATiedPairTheHeadAloneWillDo() {
        TinyModel.llama().set("tie_word_embeddings", true).write(folder);
        try (CausalLm lm = CausalLm.load(folder)) {
            rewrite(t -> t.name().equals(WeightNames.EMBEDDING)
                    ? new Tensor(WeightNames.HEAD, t.dtype(), t.shape(), t.data())
                    : t);
            try (CausalLm renamed = CausalLm.load(folder)) {
                assertThat(renamed.fingerprint()).isEqualTo(lm.fingerprint());
                try (KvCache cache = new DenseKvCache(lm.config().attentionShape(), 2)) {
                    renamed.read(new int[] {1, 2}, cache);
                    assertThat(cache.length()).isEqualTo(2);
                }
            }
        }
    }

    @Test
    void aTruncatedFileIsRefused() throws IOException {
        TinyModel.llama().write(folder);
        Path file = folder.resolve(ModelWeights.SINGLE_FILE);
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length - 100));
        assertRefused("model.safetensors", "truncated");
    }

    @Test
    void aFolderWithoutWeightsIsRefused() throws IOException {
        TinyModel.llama().write(folder);
        Files.delete(folder.resolve(ModelWeights.SINGLE_FILE));
        assertRefused("neither model.safetensors nor model.safetensors.index.json");
    }

    @Test
    void aMissingShardIsNamedWithATensorItHolds() throws IOException {
        TinyModel.llama().shards(2).write(folder);
        Files.delete(folder.resolve("model-00002-of-00002.safetensors"));
        assertRefused("model-00002-of-00002.safetensors", "no such file", "model.");
    }

    @Test
    void anIndexThatDoesNotFitIsRefused() throws IOException {
        TinyModel.llama().shards(2).write(folder);
        Path index = folder.resolve(ModelWeights.INDEX_FILE);
        String good = Files.readString(index);
        Files.writeString(index, good.replace(KEY, "other"));
        assertRefused("index.json", "weight_map." + KEY, "is missing");
        Files.writeString(index, good.replace("model-00001-of", "../model-00001-of"));
        assertRefused("index.json", "../model-00001-of", "in the same folder");
        Files.writeString(index, "{}");
        assertRefused("index.json", "weight_map is missing");
        String swapped = good.replace("model-00001-of", "x")
                .replace("model-00002-of", "model-00001-of")
                .replace("\"x", "\"model-00002-of");
        Files.writeString(index, swapped);
        assertRefused("safetensors", "is missing");
    }

    @Test
    void tooLittleMemoryIsSaidBeforeWorkStarts() {
        assertThat(MemoryNeed.available()).isPositive();
        assertThatThrownBy(() ->
                        MemoryNeed.require("a dense cache of 1000 tokens", 3_000_000_000L, 2_000_000_000L, "use fewer"))
                .isInstanceOf(InvalidInputException.class)
                .hasMessage(
                        "a dense cache of 1000 tokens: needs 3.0 GB of memory where 2.0 GB are available; use fewer");
        assertThatCode(() -> MemoryNeed.require("nothing", 0, "")).doesNotThrowAnyException();
    }
}
