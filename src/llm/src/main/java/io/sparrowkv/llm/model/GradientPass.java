package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;

/** What one pass of a {@link DifferentiableLm} over a context gave. All of it is valid until it is closed. */
public final class GradientPass implements AutoCloseable {
    private final NDManager manager;
    private final double loss;
    private final NDArray logits;
    private final int[] labels;
    private final List<Map<VectorKind, NDArray>> gradients;

    /** @param gradients of each layer; arrays of {@code manager}, as {@code logits} is */
    GradientPass(
            NDManager manager,
            double loss,
            NDArray logits,
            int[] labels,
            List<EnumMap<VectorKind, NDArray>> gradients) {
        this.manager = manager;
        this.loss = loss;
        this.logits = logits;
        this.labels = labels;
        this.gradients = List.copyOf(gradients);
    }

    /** The loss, in nats; {@link PassLoss} says whether it is a sum over the tokens or their mean. */
    public double loss() {
        return loss;
    }

    /** Logits {@code [tokens, vocabulary]}, fp32. */
    public NDArray logits() {
        return logits;
    }

    /** The labels that were drawn, one a token; none where the loss draws none. */
    public int[] labels() {
        return labels.clone();
    }

    /**
     * Gradient of the loss by the deviations of one layer and kind: zeros for tokens that nobody reads far.
     *
     * @return fp32 {@code [tokens, kvHeads, dHead]}; keys at the stage of {@link FarReads#keys}
     */
    public MemorySegment gradient(int layer, VectorKind kind) {
        return Libtorch.memory(gradients.get(layer).get(kind)).asReadOnly();
    }

    @Override
    public void close() {
        manager.close();
    }
}
