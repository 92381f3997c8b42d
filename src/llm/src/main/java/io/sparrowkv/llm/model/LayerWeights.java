package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDManager;
import java.util.Optional;

/** The weights of one decoder layer, as its operators: attention and a gated MLP, each behind an RMSNorm. */
record LayerWeights(
        RmsNorm inputNorm,
        Projection query,
        Projection key,
        Projection value,
        Optional<RmsNorm> queryNorm,
        Optional<RmsNorm> keyNorm,
        Projection output,
        RmsNorm mlpNorm,
        Projection gate,
        Projection up,
        Projection down) {
    /** @param manager owns the matrices */
    static LayerWeights load(int layer, ModelConfig config, ModelWeights weights, NDManager manager) {
        Loader loader = new Loader(layer, config, weights, manager);
        return new LayerWeights(
                loader.norm("input_layernorm"),
                loader.projection("self_attn.q_proj", config.queryKeyValueBias()),
                loader.projection("self_attn.k_proj", config.queryKeyValueBias()),
                loader.projection("self_attn.v_proj", config.queryKeyValueBias()),
                config.queryKeyNorm() ? Optional.of(loader.norm("self_attn.q_norm")) : Optional.empty(),
                config.queryKeyNorm() ? Optional.of(loader.norm("self_attn.k_norm")) : Optional.empty(),
                loader.projection("self_attn.o_proj", config.outputBias()),
                loader.norm("post_attention_layernorm"),
                loader.projection("mlp.gate_proj", config.mlpBias()),
                loader.projection("mlp.up_proj", config.mlpBias()),
                loader.projection("mlp.down_proj", config.mlpBias()));
    }

    private record Loader(int layer, ModelConfig config, ModelWeights weights, NDManager manager) {
        RmsNorm norm(String name) {
            return new RmsNorm(weights.vector(WeightNames.layer(layer, name + ".weight")), config.rmsNormEps());
        }

        Projection projection(String name, boolean bias) {
            return Projection.load(weights, manager, WeightNames.layer(layer, name), bias);
        }
    }
}
