package io.sparrowkv.llm.model;

import java.util.LinkedHashMap;
import java.util.Map;

/** Names of a model's weights in Hugging Face's files, and the shapes that a configuration calls for. */
final class WeightNames {
    static final String EMBEDDING = "model.embed_tokens.weight";
    static final String FINAL_NORM = "model.norm.weight";
    static final String HEAD = "lm_head.weight";

    private WeightNames() {}

    /** Name of the matrix that turns hidden states to logits. */
    static String head(ModelConfig config) {
        return config.tiedHead() ? EMBEDDING : HEAD;
    }

    static String layer(int layer, String part) {
        return "model.layers." + layer + "." + part;
    }

    /** All weights of the model, in the order they are used. */
    static Map<String, long[]> expected(ModelConfig config) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        long hidden = config.hidden();
        long queries = (long) config.heads() * config.dHead();
        long keys = (long) config.kvHeads() * config.dHead();
        shapes.put(EMBEDDING, new long[] {config.vocabulary(), hidden});
        for (int i = 0; i < config.layers(); i++) {
            String prefix = layer(i, "");
            shapes.put(prefix + "input_layernorm.weight", new long[] {hidden});
            projection(shapes, prefix + "self_attn.q_proj", queries, hidden, config.queryKeyValueBias());
            projection(shapes, prefix + "self_attn.k_proj", keys, hidden, config.queryKeyValueBias());
            projection(shapes, prefix + "self_attn.v_proj", keys, hidden, config.queryKeyValueBias());
            if (config.queryKeyNorm()) {
                shapes.put(prefix + "self_attn.q_norm.weight", new long[] {config.dHead()});
                shapes.put(prefix + "self_attn.k_norm.weight", new long[] {config.dHead()});
            }
            projection(shapes, prefix + "self_attn.o_proj", hidden, queries, config.outputBias());
            shapes.put(prefix + "post_attention_layernorm.weight", new long[] {hidden});
            projection(shapes, prefix + "mlp.gate_proj", config.intermediate(), hidden, config.mlpBias());
            projection(shapes, prefix + "mlp.up_proj", config.intermediate(), hidden, config.mlpBias());
            projection(shapes, prefix + "mlp.down_proj", hidden, config.intermediate(), config.mlpBias());
        }
        shapes.put(FINAL_NORM, new long[] {hidden});
        if (!config.tiedHead()) {
            shapes.put(HEAD, new long[] {config.vocabulary(), hidden});
        }
        return shapes;
    }

    private static void projection(Map<String, long[]> shapes, String name, long out, long in, boolean bias) {
        shapes.put(name + ".weight", new long[] {out, in});
        if (bias) {
            shapes.put(name + ".bias", new long[] {out});
        }
    }
}
