package io.sparrowkv.llm.model;

import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.SafetensorsWriter;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.BiConsumer;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** A small model with random weights, written as a Hugging Face folder: by default a Llama with grouped queries. */
public final class TinyModel {
    /** Ids 0 to 255 are bytes, 256 is the end of sequence, the rest are of the model alone. */
    public static final int VOCABULARY = 320;

    public static final int END_OF_SEQUENCE = 256;

    private static final JsonMapper JSON = JsonMapper.shared();

    private final ObjectNode config = JSON.createObjectNode();
    private DType dtype = DType.F32;
    private int shards = 1;
    private long seed = 1;
    private BiConsumer<String, float[]> change = (name, values) -> {};

    private TinyModel() {
        set("model_type", "llama");
        set("hidden_size", 32);
        set("intermediate_size", 56);
        set("num_hidden_layers", 2);
        set("num_attention_heads", 4);
        set("num_key_value_heads", 2);
        set("vocab_size", VOCABULARY);
        set("max_position_embeddings", 128);
        set("rms_norm_eps", 1e-5);
        set("hidden_act", "silu");
        set("rope_theta", 10000.0);
        set("tie_word_embeddings", false);
        set("eos_token_id", END_OF_SEQUENCE);
    }

    public static TinyModel llama() {
        return new TinyModel();
    }

    public static TinyModel of(String modelType) {
        return new TinyModel().set("model_type", modelType);
    }

    /** Sets a field of {@code config.json}; null leaves it out. */
    public TinyModel set(String field, Object value) {
        if (value == null) {
            config.remove(field);
        } else {
            config.set(field, JSON.valueToTree(value));
        }
        return this;
    }

    public TinyModel dtype(DType dtype) {
        this.dtype = dtype;
        return this;
    }

    public TinyModel shards(int shards) {
        this.shards = shards;
        return this;
    }

    public TinyModel seed(long seed) {
        this.seed = seed;
        return this;
    }

    /** Changes weights after they are drawn: is given each one's name and values. */
    public TinyModel change(BiConsumer<String, float[]> change) {
        this.change = change;
        return this;
    }

    /** Writes config, weights and a byte-level tokenizer; returns {@code folder}. */
    public Path write(Path folder) {
        try {
            Files.createDirectories(folder);
            Files.writeString(folder.resolve(ModelConfig.FILE), JSON.writeValueAsString(config));
            Files.writeString(folder.resolve("tokenizer.json"), tokenizer());
            writeWeights(folder, ModelConfig.read(folder));
            return folder;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void writeWeights(Path folder, ModelConfig model) throws IOException {
        Random random = new Random(seed);
        List<SafetensorsWriter> writers = new ArrayList<>();
        for (int i = 0; i < shards; i++) {
            writers.add(new SafetensorsWriter().metadata("format", "pt"));
        }
        ObjectNode map = JSON.createObjectNode();
        int next = 0;
        for (Map.Entry<String, long[]> weight : WeightNames.expected(model).entrySet()) {
            String name = weight.getKey();
            long elements = 1;
            for (long dimension : weight.getValue()) {
                elements *= dimension;
            }
            float[] values = new float[(int) elements];
            for (int i = 0; i < values.length; i++) {
                double gaussian = random.nextGaussian();
                values[i] = (float) (name.endsWith("norm.weight") ? 1 + 0.2 * gaussian : 0.2 * gaussian);
            }
            change.accept(name, values);
            int shard = next++ * shards / 32 % shards;
            writers.get(shard).add(name, dtype, weight.getValue(), MemorySegment.ofArray(values));
            map.put(name, shard(shard));
        }
        if (shards == 1) {
            writers.getFirst().write(folder.resolve(ModelWeights.SINGLE_FILE));
            return;
        }
        for (int i = 0; i < shards; i++) {
            writers.get(i).write(folder.resolve(shard(i)));
        }
        ObjectNode index = JSON.createObjectNode();
        index.set("weight_map", map);
        Files.writeString(folder.resolve(ModelWeights.INDEX_FILE), JSON.writeValueAsString(index));
    }

    private String shard(int shard) {
        return "model-%05d-of-%05d.safetensors".formatted(shard + 1, shards);
    }

    /** Byte-level BPE without merges: a token a byte, written with the letters that GPT-2 gives to bytes. */
    private static String tokenizer() {
        ObjectNode root = JSON.createObjectNode();
        root.put("version", "1.0");
        root.putArray("added_tokens")
                .addObject()
                .put("id", END_OF_SEQUENCE)
                .put("content", "<|end|>")
                .put("single_word", false)
                .put("lstrip", false)
                .put("rstrip", false)
                .put("normalized", false)
                .put("special", true);
        root.putNull("normalizer");
        for (String part : List.of("pre_tokenizer", "decoder")) {
            root.putObject(part)
                    .put("type", "ByteLevel")
                    .put("add_prefix_space", false)
                    .put("trim_offsets", true)
                    .put("use_regex", true);
        }
        ObjectNode model = root.putObject("model").put("type", "BPE");
        model.putArray("merges");
        ObjectNode vocabulary = model.putObject("vocab");
        int extra = 0;
        for (int b = 0; b < 256; b++) {
            boolean printable = b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE;
            vocabulary.put(String.valueOf((char) (printable ? b : 256 + extra++)), b);
        }
        vocabulary.put("<|end|>", END_OF_SEQUENCE);
        return JSON.writeValueAsString(root);
    }
}
