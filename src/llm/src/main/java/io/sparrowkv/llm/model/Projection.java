package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import java.util.Optional;

/** A matrix product with an optional bias, y = x Wᵀ + b. */
record Projection(NDArray weight, Optional<NDArray> bias) {
    static Projection load(ModelWeights weights, NDManager manager, String name, boolean biased) {
        return new Projection(
                weights.load(manager, name + ".weight"),
                biased ? Optional.of(weights.load(manager, name + ".bias")) : Optional.empty());
    }

    /** @param input {@code [rows, in]}; the result is {@code [rows, out]}, of the same manager */
    NDArray apply(NDArray input) {
        return input.getNDArrayInternal()
                .linear(input, weight, bias.orElse(null))
                .singletonOrThrow();
    }
}
