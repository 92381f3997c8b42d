package io.sparrowkv.eval;

import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.SafetensorsWriter;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;

/**
 * A Llama folder of random weights in a chosen attention shape: enough to measure time and memory of a cache, which need no meaning
 * in the weights. It has no tokenizer; it is driven by token ids.
 *
 * @param layers decoder layers
 * @param hidden width of the residual stream
 * @param intermediate width of the MLP
 * @param heads query heads
 * @param kvHeads KV heads
 * @param dHead width of a head
 * @param vocabulary number of tokens
 */
public record RandomModel(int layers, int hidden, int intermediate, int heads, int kvHeads, int dHead, int vocabulary) {
    /** Mistral-7B's attention (32 query heads and 8 KV heads of d = 128) on a slim body of two layers. */
    public static final RandomModel MISTRAL_ATTENTION = new RandomModel(2, 1024, 2816, 32, 8, 128, 4096);

    private static final String CONFIG = "config.json";
    private static final String WEIGHTS = "model.safetensors";
    private static final int MAX_POSITIONS = 1 << 20;

    /** The dictionaries are random too, of this many atoms. */
    private static final int LATENTS = 4096;

    /** Writes {@code config.json} and {@code model.safetensors} (fp16) into {@code folder}. */
    public void write(Path folder, long seed) {
        AtomicFile.write(folder.resolve(CONFIG), config().getBytes(StandardCharsets.UTF_8));
        SplittableRandom random = new SplittableRandom(seed);
        try (Arena arena = Arena.ofConfined()) {
            SafetensorsWriter file = new SafetensorsWriter();
            matrix(file, arena, random, "model.embed_tokens.weight", vocabulary, hidden);
            ones(file, arena, "model.norm.weight");
            for (int layer = 0; layer < layers; layer++) {
                String prefix = "model.layers." + layer + ".";
                matrix(file, arena, random, prefix + "self_attn.q_proj.weight", heads * dHead, hidden);
                matrix(file, arena, random, prefix + "self_attn.k_proj.weight", kvHeads * dHead, hidden);
                matrix(file, arena, random, prefix + "self_attn.v_proj.weight", kvHeads * dHead, hidden);
                matrix(file, arena, random, prefix + "self_attn.o_proj.weight", hidden, heads * dHead);
                matrix(file, arena, random, prefix + "mlp.gate_proj.weight", intermediate, hidden);
                matrix(file, arena, random, prefix + "mlp.up_proj.weight", intermediate, hidden);
                matrix(file, arena, random, prefix + "mlp.down_proj.weight", hidden, intermediate);
                ones(file, arena, prefix + "input_layernorm.weight");
                ones(file, arena, prefix + "post_attention_layernorm.weight");
            }
            file.write(folder.resolve(WEIGHTS));
        }
    }

    /** Removes what {@link #write} wrote, and the folder. */
    public static void delete(Path folder) throws IOException {
        Files.deleteIfExists(folder.resolve(CONFIG));
        Files.deleteIfExists(folder.resolve(WEIGHTS));
        Files.delete(folder);
    }

    /** Random dictionaries for it, in memory; the caller closes them. */
    public DictionarySet dictionaries(RopeStage rope, long seed) {
        return RandomDictionaries.set(layers, 0, rope, dHead, LATENTS, LATENTS, seed);
    }

    private String config() {
        return """
                {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": %d, "intermediate_size": %d,
                 "num_hidden_layers": %d, "num_attention_heads": %d, "num_key_value_heads": %d, "head_dim": %d,
                 "vocab_size": %d, "max_position_embeddings": %d, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
                 "hidden_act": "silu", "tie_word_embeddings": true, "torch_dtype": "float16"}
                """.formatted(hidden, intermediate, layers, heads, kvHeads, dHead, vocabulary, MAX_POSITIONS);
    }

    private static void matrix(
            SafetensorsWriter file, Arena arena, SplittableRandom random, String name, int rows, int columns) {
        MemorySegment values = arena.allocate((long) rows * columns * Float.BYTES, 64);
        double scale = 1 / Math.sqrt(columns);
        for (long i = 0; i < (long) rows * columns; i++) {
            values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) (scale * random.nextGaussian()));
        }
        file.add(name, DType.F16, new long[] {rows, columns}, values);
    }

    private void ones(SafetensorsWriter file, Arena arena, String name) {
        MemorySegment values = arena.allocate((long) hidden * Float.BYTES, 64);
        for (int i = 0; i < hidden; i++) {
            values.setAtIndex(ValueLayout.JAVA_FLOAT, i, 1f);
        }
        file.add(name, DType.F16, new long[] {hidden}, values);
    }
}
