package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import io.sparrowkv.capture.Tap;

/** Sees a model's keys and values pass on their way to the cache, chunk by chunk. */
public interface KvProbe {
    /** Sees nothing. */
    KvProbe NONE = (layer, tap, firstPosition, vectors) -> {};

    /**
     * Sees one layer's vectors of one chunk; called for {@link Tap#KEY_PRE}, {@link Tap#VALUE} and {@link Tap#KEY_POST}.
     *
     * @param firstPosition position in its sequence of the first token
     * @param vectors fp32 {@code [tokens, kvHeads, dHead]}, contiguous; valid during the call only, and not to be changed
     */
    void observe(int layer, Tap tap, int firstPosition, NDArray vectors);

    /**
     * Sees the key projection as it is, before any key norm; where a model has none, it equals {@link Tap#KEY_PRE}.
     *
     * @param vectors as in {@link #observe}
     */
    default void observeKeyProjection(int layer, int firstPosition, NDArray vectors) {}
}
