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
    private final LayerWeights weights;

    DecoderLayer(int index, ModelConfig config, RotaryEmbedding rotary, LayerWeights weights) {
        this.index = index;
        this.config = config;
        this.rotary = rotary;
        this.weights = weights;
    }

    LayerWeights weights() {
        return weights;
    }

    /**
     * Passes a chunk through the layer.
     *
     * @param hidden the residual stream, {@code [tokens, hidden]}; changed in place
     * @param position position of the chunk's first token
     */
    void forward(NDArray hidden, int position, KvCache cache, KvProbe probe) {
        try (NDManager scope = hidden.getManager().newSubManager()) {
            NDArray input = weights.inputNorm().apply(scope, hidden);
            NDArray queries = rotated(weights.query().apply(input), weights.queryNorm(), position, config.heads());
            KeysAndValues seen = keysAndValues(input, position, probe);
            NDArray attention = cache.attend(index, queries, seen.keys, seen.values);
            hidden.addi(
                    weights.output().apply(attention.reshape(hidden.getShape().get(0), -1)));

            NDArray mlpInput = weights.mlpNorm().apply(scope, hidden);
            NDArray gated = weights.gate().apply(mlpInput);
            NDArray activated = gated.getNDArrayInternal().sigmoid().muli(gated); // SiLU
            hidden.addi(weights.down().apply(activated.muli(weights.up().apply(mlpInput))));
        }
    }

    /** Shows a chunk's keys and values to {@code probe} and goes no further: what the last layer is needed for in a capture. */
    void observe(NDArray hidden, int position, KvProbe probe) {
        try (NDManager scope = hidden.getManager().newSubManager()) {
            keysAndValues(weights.inputNorm().apply(scope, hidden), position, probe);
        }
    }

    private record KeysAndValues(NDArray keys, NDArray values) {}

    private KeysAndValues keysAndValues(NDArray input, int position, KvProbe probe) {
        NDArray keys = byHead(weights.key().apply(input), config.kvHeads());
        probe.observeKeyProjection(index, position, keys);
        weights.keyNorm().ifPresent(norm -> norm.applyInPlace(keys));
        probe.observe(index, Tap.KEY_PRE, position, keys);
        rotate(keys, position);
        probe.observe(index, Tap.KEY_POST, position, keys);
        NDArray values = byHead(weights.value().apply(input), config.kvHeads());
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
