package io.sparrowkv.llm.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ModelConfigTest {
    private static final String BASE = """
            "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 256, "rms_norm_eps": 1e-6""";

    @TempDir
    Path folder;

    /** The base with fields added in front; of two fields of one name the later, the base's, would win, so it is cut out. */
    private ModelConfig read(String type, String fields) throws IOException {
        String base = BASE;
        for (String field : fields.split(",(?![^\\[{]*[\\]}])", -1)) {
            String name = field.strip().split(":", 2)[0];
            if (!name.isEmpty()) {
                base = base.replaceAll(name + ": [^,]+(,\\s*|$)", "");
            }
        }
        String all = "{\"model_type\": \"" + type + "\", " + base.strip().replaceAll(",$", "")
                + (fields.isBlank() ? "" : ", " + fields) + "}";
        Files.writeString(folder.resolve(ModelConfig.FILE), all);
        return ModelConfig.read(folder);
    }

    @Test
    void missingFieldsMeanWhatHuggingFacesClassesSay() throws IOException {
        ModelConfig llama = read("llama", "");
        assertThat(llama.dHead()).isEqualTo(16);
        assertThat(llama.ropeTheta()).isEqualTo(10_000);
        assertThat(llama.ropeScaling()).isEqualTo(new RopeScaling.None());
        assertThat(llama.rotaryPrecision()).isEqualTo(DType.F32);
        assertThat(llama.tiedHead()).isFalse();
        assertThat(llama.queryKeyValueBias()).isFalse();
        assertThat(llama.slidingWindows()).containsExactly(0, 0, 0);
        assertThat(llama.endOfSequence()).isEmpty();
        assertThat(read("mistral", "").slidingWindows()).containsExactly(4096, 4096, 4096);
        assertThat(read("mistral", "\"sliding_window\": null").slidingWindows()).containsExactly(0, 0, 0);
        ModelConfig qwen2 = read("qwen2", "\"sliding_window\": 9");
        assertThat(qwen2.slidingWindows()).containsExactly(0, 0, 0); // use_sliding_window is false
        assertThat(qwen2.queryKeyValueBias()).isTrue();
        assertThat(qwen2.outputBias()).isFalse();
        ModelConfig qwen3 = read("qwen3", "");
        assertThat(qwen3.dHead()).isEqualTo(128);
        assertThat(qwen3.queryKeyNorm()).isTrue();
    }

    @Test
    void oldAndNewFormAreTheSame() throws IOException {
        String scaling =
                "\"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64";
        ModelConfig old = read(
                "llama",
                "\"rope_theta\": 500000.0, \"rope_scaling\": {\"rope_type\": \"llama3\", " + scaling
                        + "}, \"torch_dtype\": \"bfloat16\"");
        ModelConfig current = read(
                "llama",
                "\"rope_parameters\": {\"rope_theta\": 500000.0, \"rope_type\": \"llama3\", " + scaling
                        + "}, \"dtype\": \"bfloat16\"");
        assertThat(current).isEqualTo(old);
        assertThat(old.ropeScaling()).isEqualTo(new RopeScaling.Llama3(8, 1, 4, 64));
        assertThat(old.rotaryPrecision()).isEqualTo(DType.BF16);
    }

    @Test
    void theGenerationConfigSaysWhatEndsAText() throws IOException {
        Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [5, 7]}");
        assertThat(read("llama", "\"eos_token_id\": 2").endOfSequence()).containsExactly(5, 7);
        Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": null}");
        assertThat(read("llama", "\"eos_token_id\": 2").endOfSequence()).containsExactly(2);
        assertThat(read("llama", "\"eos_token_id\": [2, 3]").endOfSequence()).isEqualTo(List.of(2, 3));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "gpt2  | | model_type is \"gpt2\"; use a model of one of the families llama, mistral, qwen2, qwen3",
                "llama | \"hidden_size\": 0 | hidden_size is 0",
                "llama | \"hidden_size\": -64 | hidden_size is -64",
                "llama | \"hidden_size\": 64.5 | hidden_size is 64.5",
                "llama | \"hidden_size\": \"64\" | hidden_size is \"64\"",
                "llama | \"hidden_size\": null | hidden_size is missing",
                "llama | \"num_hidden_layers\": 1000000000 | num_hidden_layers is 1000000000",
                "llama | \"num_hidden_layers\": 99999999999999 | num_hidden_layers is 99999999999999",
                "llama | \"num_attention_heads\": null | num_attention_heads is missing",
                "llama | \"num_key_value_heads\": 3 | num_key_value_heads is 3; it must divide num_attention_heads, 4",
                "llama | \"num_key_value_heads\": 8 | num_key_value_heads is 8",
                "llama | \"hidden_size\": 66 | hidden_size is 66; num_attention_heads, 4, must divide it",
                "llama | \"hidden_size\": 60 | the width of a head must be even and at most 8192, not 15",
                "llama | \"head_dim\": 15 | head_dim is 15; the width of a head must be even",
                "llama | \"vocab_size\": 0 | vocab_size is 0",
                "llama | \"rms_norm_eps\": 0 | rms_norm_eps is 0",
                "llama | \"rms_norm_eps\": 5 | rms_norm_eps is 5",
                "llama | \"rms_norm_eps\": \"a\" | rms_norm_eps is \"a\"",
                "llama | \"max_position_embeddings\": -1 | max_position_embeddings is -1",
                "llama | \"hidden_act\": \"gelu\" | hidden_act is \"gelu\"; only silu is supported",
                "llama | \"partial_rotary_factor\": 0.5 | partial_rotary_factor is 0.5",
                "llama | \"quantization_config\": {\"quant_method\": \"gptq\"} | quantization_config is {\"quant_method\":\"gptq\"}",
                "llama | \"rope_theta\": -1 | rope_theta is -1",
                "llama | \"rope_scaling\": {\"type\": \"yarn\"} | rope_scaling.type is \"yarn\"",
                "llama | \"rope_scaling\": {\"rope_type\": \"dynamic\"} | rope_scaling.rope_type is \"dynamic\"",
                "llama | \"rope_parameters\": {\"rope_type\": \"longrope\"} | rope_parameters.rope_type is \"longrope\"",
                "llama | \"rope_parameters\": {\"rope_theta\": 1} | rope_parameters.rope_type is missing",
                "llama | \"rope_scaling\": {\"type\": \"linear\"} | rope_scaling.factor is missing",
                "llama | \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0} | rope_scaling.factor is 0",
                "llama | \"rope_scaling\": \"linear\" | rope_scaling is \"linear\"; an object is needed",
                "llama | \"tie_word_embeddings\": 1 | tie_word_embeddings is 1; true or false is needed",
                "llama | \"torch_dtype\": \"float8\" | torch_dtype is \"float8\"",
                "llama | \"eos_token_id\": \"x\" | eos_token_id is \"x\"",
                "mistral | \"num_key_value_heads\": 0 | num_key_value_heads is 0",
                "mistral | \"sliding_window\": 0 | sliding_window is 0",
                "qwen2 | \"layer_types\": [\"full_attention\"] | layer_types is [\"full_attention\"]; a list of 3 types",
                "qwen2 | \"layer_types\": [\"a\", \"b\", \"c\"] | only full_attention and sliding_attention are supported",
                "qwen2 | \"layer_types\": [\"sliding_attention\", \"full_attention\", \"full_attention\"] | sliding_attention needs use_sliding_window",
                "qwen3 | \"max_window_layers\": -1 | max_window_layers is -1",
            })
    void whatCannotBeIsOneLineThatNamesFileFieldAndValue(String type, String fields, String expected) {
        assertThatThrownBy(() -> read(type, fields == null ? "" : fields))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("config.json", expected)
                .message()
                .doesNotContain("\n");
    }

    @Test
    void aMissingOrBrokenFileIsNamed() throws IOException {
        assertThatThrownBy(() -> ModelConfig.read(folder.resolve("none")))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("no such folder");
        assertThatThrownBy(() -> ModelConfig.read(folder))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("config.json: no such file");
        Files.writeString(folder.resolve(ModelConfig.FILE), "{\"model_type\":");
        assertThatThrownBy(() -> ModelConfig.read(folder))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("config.json: is not JSON");
        Files.writeString(folder.resolve(ModelConfig.FILE), "[]");
        assertThatThrownBy(() -> ModelConfig.read(folder))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("not a JSON object");
    }
}
