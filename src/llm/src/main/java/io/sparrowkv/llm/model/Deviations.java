package io.sparrowkv.llm.model;

import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;

/** Says by how much far reads deviate from a model's own keys and values: decoded minus dense, for a cache of codes. */
@FunctionalInterface
public interface Deviations {
    /** Far reads see what near reads see. */
    Deviations NONE = (layer, kind, vectors, deviation) -> {};

    /**
     * Is shown the vectors of one layer and kind, of a whole context, and writes their deviations. Called once for the keys and once
     * for the values of each layer, layers in order; what the vectors of a layer are depends on the deviations of those before it.
     *
     * @param vectors fp32 {@code [tokens, kvHeads, dHead]}, keys at the stage of {@link FarReads#keys}; valid during the call and
     *     read-only
     * @param deviation of the same shape, zeros; what is written for a token that nobody reads far is of no effect
     */
    void write(int layer, VectorKind kind, MemorySegment vectors, MemorySegment deviation);
}
