package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.attention.RotaryEmbedding;
import io.sparrowkv.capture.Tap;
import java.util.Optional;

/** One decoder layer: attention and a gated MLP, each behind an RMSNorm and added to the residual stream. */
final class DecoderLayer {
    private final int index;
    private final ModelConfig config;
    private final RotaryEmbedding rotary;
    private final RmsNorm inputNorm;
    private final Projection query;
    private final Projection key;
    private final Projection value;
    private final Optional<RmsNorm> queryNorm;
    private final Optional<RmsNorm> keyNorm;
    private final Projection output;
    private final RmsNorm mlpNorm;
    private final Projection gate;
    private final Projection up;
    private final Projection down;

    DecoderLayer(int index, ModelConfig config, RotaryEmbedding rotary, ModelWeights weights, NDManager manager) {
        this.index = index;
        this.config = config;
        this.rotary = rotary;
        inputNorm = norm(weights, "input_layernorm");
        query = projection(weights, manager, "self_attn.q_proj", config.queryKeyValueBias());
        key = projection(weights, manager, "self_attn.k_proj", config.queryKeyValueBias());
        value = projection(weights, manager, "self_attn.v_proj", config.queryKeyValueBias());
        queryNorm = config.queryKeyNorm() ? Optional.of(norm(weights, "self_attn.q_norm")) : Optional.empty();
        keyNorm = config.queryKeyNorm() ? Optional.of(norm(weights, "self_attn.k_norm")) : Optional.empty();
        output = projection(weights, manager, "self_attn.o_proj", config.outputBias());
        mlpNorm = norm(weights, "post_attention_layernorm");
        gate = projection(weights, manager, "mlp.gate_proj", config.mlpBias());
        up = projection(weights, manager, "mlp.up_proj", config.mlpBias());
        down = projection(weights, manager, "mlp.down_proj", config.mlpBias());
    }

    private RmsNorm norm(ModelWeights weights, String name) {
        return new RmsNorm(weights.vector(WeightNames.layer(index, name + ".weight")), config.rmsNormEps());
    }

    private Projection projection(ModelWeights weights, NDManager manager, String name, boolean bias) {
        return Projection.load(weights, manager, WeightNames.layer(index, name), bias);
    }

    /**
     * Passes a chunk through the layer.
     *
     * @param hidden the residual stream, {@code [tokens, hidden]}; changed in place
     * @param position position of the chunk's first token
     */
    void forward(NDArray hidden, int position, KvCache cache, KvProbe probe) {
        try (NDManager scope = hidden.getManager().newSubManager()) {
            NDArray input = inputNorm.apply(scope, hidden);
            NDArray queries = rotated(query.apply(input), queryNorm, position, config.heads());
            KeysAndValues seen = keysAndValues(input, position, probe);
            NDArray attention = cache.attend(index, queries, seen.keys, seen.values);
            hidden.addi(output.apply(attention.reshape(hidden.getShape().get(0), -1)));

            NDArray mlpInput = mlpNorm.apply(scope, hidden);
            NDArray gated = gate.apply(mlpInput);
            NDArray activated = gated.getNDArrayInternal().sigmoid().muli(gated); // SiLU
            hidden.addi(down.apply(activated.muli(up.apply(mlpInput))));
        }
    }

    /** Shows a chunk's keys and values to {@code probe} and goes no further: what the last layer is needed for in a capture. */
    void observe(NDArray hidden, int position, KvProbe probe) {
        try (NDManager scope = hidden.getManager().newSubManager()) {
            keysAndValues(inputNorm.apply(scope, hidden), position, probe);
        }
    }

    private record KeysAndValues(NDArray keys, NDArray values) {}

    private KeysAndValues keysAndValues(NDArray input, int position, KvProbe probe) {
        NDArray keys = byHead(key.apply(input), config.kvHeads());
        probe.observeKeyProjection(index, position, keys);
        keyNorm.ifPresent(norm -> norm.applyInPlace(keys));
        probe.observe(index, Tap.KEY_PRE, position, keys);
        rotate(keys, position);
        probe.observe(index, Tap.KEY_POST, position, keys);
        NDArray values = byHead(value.apply(input), config.kvHeads());
        probe.observe(index, Tap.VALUE, position, values);
        return new KeysAndValues(keys, values);
    }

    private NDArray rotated(NDArray projected, Optional<RmsNorm> norm, int position, int heads) {
        NDArray vectors = byHead(projected, heads);
        norm.ifPresent(n -> n.applyInPlace(vectors));
        rotate(vectors, position);
        return vectors;
    }

    private void rotate(NDArray vectors, int position) {
        int tokens = (int) vectors.getShape().get(0);
        int heads = (int) vectors.getShape().get(1);
        rotary.rotate(Libtorch.memory(vectors), 0, tokens, heads, position);
    }

    private NDArray byHead(NDArray projected, int heads) {
        return projected.reshape(projected.getShape().get(0), heads, config.dHead());
    }
}
