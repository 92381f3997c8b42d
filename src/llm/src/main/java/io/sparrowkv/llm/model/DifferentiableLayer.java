package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import io.sparrowkv.llm.model.FarAttention.Read;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.VectorKind;
import java.util.EnumMap;
import java.util.Optional;

/**
 * One decoder layer as {@link DecoderLayer} computes it, out of place and in operators that libtorch can differentiate.
 *
 * @param index of the layer
 * @param rotation of the context's positions
 */
record DifferentiableLayer(
        int index,
        ModelConfig config,
        LayerWeights weights,
        Rotation rotation,
        FarAttention attention,
        RopeStage stage,
        Deviations deviations) {
    /**
     * RoPE of a context's positions.
     *
     * @param cos {@code [tokens, 1, dHead / 2]}
     * @param sin {@code [tokens, 1, dHead / 2]}
     */
    record Rotation(NDArray cos, NDArray sin) {
        /** @param vectors {@code [tokens, heads, dHead]} */
        NDArray turn(NDArray vectors) {
            long half = vectors.getShape().get(2) / 2;
            NDArray x = vectors.get(new NDIndex().addAllDim().addAllDim().addSliceDim(0, half));
            NDArray y = vectors.get(new NDIndex().addAllDim().addAllDim().addSliceDim(half, 2 * half));
            return NDArrays.concat(
                    new NDList(x.mul(cos).sub(y.mul(sin)), y.mul(cos).add(x.mul(sin))), 2);
        }
    }

    /**
     * Passes a context through the layer.
     *
     * @param hidden the residual stream, {@code [tokens, hidden]}; becomes the layer's own, and closed
     * @param leaves owns the deviations
     * @param byKind takes the deviations, {@code [tokens, kvHeads, dHead]}, of which a loss can be differentiated
     * @return the residual stream after the layer, of the manager that {@code hidden} had
     */
    NDArray forward(NDArray hidden, NDManager leaves, EnumMap<VectorKind, NDArray> byKind) {
        NDManager outer = hidden.getManager();
        // What the gradients need is kept by libtorch's graph; all else goes with the scope.
        try (NDManager scope = outer.newSubManager()) {
            hidden.attach(scope);
            NDArray input = weights.inputNorm().differentiable(hidden);
            NDArray queries = rotation.turn(byHead(weights.query(), input, config.heads(), weights.queryNorm()));
            NDArray unturned = byHead(weights.key(), input, config.kvHeads(), weights.keyNorm());
            NDArray keys = rotation.turn(unturned);
            NDArray values = byHead(weights.value(), input, config.kvHeads(), Optional.empty());
            Read keysRead = Read.of(
                    keys,
                    switch (stage) {
                        case PRE -> rotation.turn(deviation(VectorKind.KEY, unturned, byKind));
                        case POST -> deviation(VectorKind.KEY, keys, byKind);
                    });
            Read valuesRead = Read.of(values, deviation(VectorKind.VALUE, values, byKind));
            NDArray attended = hidden.add(weights.output().apply(attention.attend(queries, keysRead, valuesRead)));

            NDArray mlpInput = weights.mlpNorm().differentiable(attended);
            NDArray gated = weights.gate().apply(mlpInput);
            NDArray activated = gated.getNDArrayInternal().sigmoid().mul(gated); // SiLU
            NDArray output =
                    attended.add(weights.down().apply(activated.mul(weights.up().apply(mlpInput))));
            output.attach(outer);
            byKind.values().forEach(deviation -> deviation.attach(leaves));
            return output;
        }
    }

    private NDArray deviation(VectorKind kind, NDArray vectors, EnumMap<VectorKind, NDArray> byKind) {
        NDArray deviation = vectors.getManager().zeros(vectors.getShape());
        deviations.write(index, kind, Libtorch.memory(vectors).asReadOnly(), Libtorch.memory(deviation));
        deviation.setRequiresGradient(true);
        byKind.put(kind, deviation);
        return deviation;
    }

    private NDArray byHead(Projection projection, NDArray input, int heads, Optional<RmsNorm> norm) {
        NDArray vectors = projection.apply(input).reshape(input.getShape().get(0), heads, config.dHead());
        return norm.map(n -> n.differentiable(vectors)).orElse(vectors);
    }
}
