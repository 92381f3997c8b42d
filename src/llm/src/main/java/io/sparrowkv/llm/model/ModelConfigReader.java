package io.sparrowkv.llm.model;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.JsonFields;
import io.sparrowkv.safetensors.DType;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import tools.jackson.databind.JsonNode;

/** Reads {@code config.json}; what a missing field means is what Hugging Face's configuration classes say. */
final class ModelConfigReader {
    // Far above any model known, far below what would overflow.
    private static final int MOST_LAYERS = 4096;
    private static final int MOST_HEADS = 16_384;
    private static final int MOST_HEAD_WIDTH = 8192;
    private static final int MOST_WIDTH = 1 << 20;
    private static final int MOST_VOCABULARY = 1 << 24;
    private static final int MOST_POSITIONS = 1 << 30;

    private static final double DEFAULT_THETA = 10_000;
    private static final double DEFAULT_EPS = 1e-6;
    private static final int DEFAULT_WINDOW = 4096;
    private static final int DEFAULT_MAX_WINDOW_LAYERS = 28;
    private static final int QWEN3_HEAD_WIDTH = 128;

    private final Path folder;
    private final JsonFields config;

    private ModelConfigReader(Path folder) {
        this.folder = folder;
        this.config = JsonFields.read(folder.resolve(ModelConfig.FILE));
    }

    static ModelConfig read(Path folder) {
        if (!Files.isDirectory(folder)) {
            throw new InvalidInputException(folder + ": no such folder; name the folder of a Hugging Face model");
        }
        return new ModelConfigReader(folder).read();
    }

    private ModelConfig read() {
        Family family = family();
        refuseWhatIsNotBuilt();
        int layers = config.positive("num_hidden_layers", MOST_LAYERS);
        int hidden = config.positive("hidden_size", MOST_WIDTH);
        int heads = config.positive("num_attention_heads", MOST_HEADS);
        int kvHeads = kvHeads(family, heads);
        int maxPositions = config.optionalPositive("max_position_embeddings", MOST_POSITIONS)
                .orElse(family.defaultMaxPositions());
        boolean attentionBias =
                (family == Family.LLAMA || family == Family.QWEN3) && config.flag("attention_bias", false);
        return new ModelConfig(
                family,
                layers,
                hidden,
                config.positive("intermediate_size", MOST_WIDTH),
                heads,
                kvHeads,
                dHead(family, hidden, heads),
                config.positive("vocab_size", MOST_VOCABULARY),
                maxPositions,
                rmsNormEps(),
                ropeTheta(),
                ropeScaling(maxPositions),
                rotaryPrecision(),
                slidingWindows(family, layers),
                attentionBias || family == Family.QWEN2,
                attentionBias,
                family == Family.LLAMA && config.flag("mlp_bias", false),
                family == Family.QWEN3,
                config.flag("tie_word_embeddings", false),
                endOfSequence());
    }

    private Family family() {
        return Family.of(config.string("model_type"))
                .orElseThrow(() -> config.invalid(
                        "model_type",
                        "use a model of one of the families "
                                + Arrays.stream(Family.values())
                                        .map(Family::modelType)
                                        .collect(Collectors.joining(", "))));
    }

    private void refuseWhatIsNotBuilt() {
        if (config.get("quantization_config").isPresent()) {
            throw config.invalid("quantization_config", "use the model's F32, F16 or BF16 weights");
        }
        if (!config.optionalString("hidden_act").orElse("silu").equals("silu")) {
            throw config.invalid("hidden_act", "only silu is supported");
        }
        refusePartialRotary(config);
    }

    private static void refusePartialRotary(JsonFields fields) {
        if (fields.optionalPositiveNumber("partial_rotary_factor").orElse(1.0) != 1) {
            throw fields.invalid("partial_rotary_factor", "only models that rotate whole heads are supported");
        }
    }

    private int kvHeads(Family family, int heads) {
        if (family != Family.LLAMA && !config.has("num_key_value_heads")) {
            throw config.missing("num_key_value_heads");
        }
        int kvHeads = config.optionalPositive("num_key_value_heads", MOST_HEADS).orElse(heads);
        if (heads % kvHeads != 0) {
            throw config.invalid("num_key_value_heads", "it must divide num_attention_heads, " + heads);
        }
        return kvHeads;
    }

    private int dHead(Family family, int hidden, int heads) {
        Optional<Integer> explicit = config.optionalPositive("head_dim", MOST_HEAD_WIDTH);
        if (explicit.isEmpty() && family == Family.QWEN3 && !config.has("head_dim")) {
            explicit = Optional.of(QWEN3_HEAD_WIDTH);
        }
        if (explicit.isEmpty() && hidden % heads != 0) {
            throw config.invalid(
                    "hidden_size", "num_attention_heads, " + heads + ", must divide it where head_dim is missing");
        }
        int dHead = explicit.orElse(hidden / heads);
        if (dHead % 2 != 0 || dHead > MOST_HEAD_WIDTH) {
            String need = "the width of a head must be even and at most " + MOST_HEAD_WIDTH + ", not " + dHead;
            throw config.invalid(config.get("head_dim").isPresent() ? "head_dim" : "hidden_size", need);
        }
        return dHead;
    }

    private float rmsNormEps() {
        double eps = config.optionalPositiveNumber("rms_norm_eps").orElse(DEFAULT_EPS);
        if (eps >= 1) {
            throw config.invalid("rms_norm_eps", "a number from 0 to 1 is needed");
        }
        return (float) eps;
    }

    /** transformers 5 keeps the base among the other rotary parameters. */
    private double ropeTheta() {
        return config.object("rope_parameters")
                .flatMap(rope -> rope.optionalPositiveNumber("rope_theta"))
                .or(() -> config.optionalPositiveNumber("rope_theta"))
                .orElse(DEFAULT_THETA);
    }

    private RopeScaling ropeScaling(int maxPositions) {
        Optional<JsonFields> found = config.object("rope_parameters").or(() -> config.object("rope_scaling"));
        if (found.isEmpty()) {
            return new RopeScaling.None();
        }
        JsonFields rope = found.get();
        refusePartialRotary(rope);
        String typeField = rope.has("rope_type") || !rope.has("type") ? "rope_type" : "type";
        return switch (rope.string(typeField)) {
            case "default" -> new RopeScaling.None();
            case "linear" -> new RopeScaling.Linear(rope.positiveNumber("factor"));
            case "llama3" -> llama3(rope, maxPositions);
            default -> throw rope.invalid(typeField, "only default, linear and llama3 are supported");
        };
    }

    private static RopeScaling llama3(JsonFields rope, int maxPositions) {
        double low = rope.positiveNumber("low_freq_factor");
        double high = rope.positiveNumber("high_freq_factor");
        if (high <= low) {
            throw rope.invalid("high_freq_factor", "it must be above low_freq_factor, " + low);
        }
        int original = rope.optionalPositive("original_max_position_embeddings", MOST_POSITIONS)
                .orElse(maxPositions);
        return new RopeScaling.Llama3(rope.positiveNumber("factor"), low, high, original);
    }

    /** The dtype that the model was cast to: {@code dtype} in transformers 5, {@code torch_dtype} before. */
    private DType rotaryPrecision() {
        String field = config.get("dtype").isPresent() ? "dtype" : "torch_dtype";
        return switch (config.optionalString(field).orElse("float32")) {
            case "float32" -> DType.F32;
            case "float16" -> DType.F16;
            case "bfloat16" -> DType.BF16;
            default -> throw config.invalid(field, "only float32, float16 and bfloat16 are supported");
        };
    }

    private List<Integer> slidingWindows(Family family, int layers) {
        return switch (family) {
            case LLAMA -> Collections.nCopies(layers, 0);
            case MISTRAL -> Collections.nCopies(layers, window());
            case QWEN2, QWEN3 -> qwenWindows(layers);
        };
    }

    /** Absent is the default of Hugging Face's classes; null is no window. */
    private int window() {
        int absent = config.has("sliding_window") ? 0 : DEFAULT_WINDOW;
        return config.optionalPositive("sliding_window", MOST_POSITIONS).orElse(absent);
    }

    private List<Integer> qwenWindows(int layers) {
        int window = config.flag("use_sliding_window", false) ? window() : 0;
        Optional<JsonNode> types = config.get("layer_types");
        if (types.isEmpty()) {
            int firstSliding = maxWindowLayers();
            return IntStream.range(0, layers)
                    .mapToObj(i -> i >= firstSliding ? window : 0)
                    .toList();
        }
        if (!types.get().isArray() || types.get().size() != layers) {
            throw config.invalid("layer_types", "a list of " + layers + " types is needed, one a layer");
        }
        return IntStream.range(0, layers)
                .mapToObj(i -> switch (types.get().get(i).asString("")) {
                    case "full_attention" -> 0;
                    case "sliding_attention" -> {
                        if (window == 0) {
                            throw config.invalid(
                                    "layer_types", "sliding_attention needs use_sliding_window and sliding_window");
                        }
                        yield window;
                    }
                    default ->
                        throw config.invalid("layer_types", "only full_attention and sliding_attention are supported");
                })
                .toList();
    }

    /** Layers from this one on slide; 0 is a legal value, so it is not read as a positive number. */
    private int maxWindowLayers() {
        return config.get("max_window_layers")
                .map(value -> {
                    if (!value.isIntegralNumber() || !value.canConvertToInt() || value.intValue() < 0) {
                        throw config.invalid("max_window_layers", "a number of layers is needed");
                    }
                    return value.intValue();
                })
                .orElse(DEFAULT_MAX_WINDOW_LAYERS);
    }

    private List<Integer> endOfSequence() {
        Path generation = folder.resolve("generation_config.json");
        if (Files.exists(generation)) {
            List<Integer> ids = JsonFields.read(generation).ids("eos_token_id");
            if (!ids.isEmpty()) {
                return ids;
            }
        }
        return config.ids("eos_token_id");
    }
}
