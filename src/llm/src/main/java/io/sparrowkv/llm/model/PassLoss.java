package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;

/** What a pass with gradients is differentiated by, in nats. */
public sealed interface PassLoss {
    /**
     * Cross entropy, <em>summed</em> over the tokens, of labels drawn from the pass's own predictions. Its gradient is that of the
     * log likelihood of one whole context, whose outer product has the Fisher information for its mean.
     *
     * @param seed decides the draws
     */
    record SampledLabels(long seed) implements PassLoss {}

    /**
     * KL(teacher ‖ pass), in the <em>mean</em> over the tokens.
     *
     * @param teacher fp32 logits {@code [tokens, vocabulary]}, of a dense pass as a rule; stays the caller's
     */
    record Divergence(NDArray teacher) implements PassLoss {}
}
