package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;

/**
 * The key/value cache of one sequence, as a model sees it. A chunk passes through the layers in order, each calling {@link #attend}
 * once. A cache belongs to one sequence and one thread at a time; after an exception it is no longer of use.
 */
public interface KvCache extends AutoCloseable {
    /**
     * Appends a chunk's keys and values to a layer and gives the attention of its queries over all they may see: causal within the
     * chunk, limited by the layer's sliding window.
     *
     * @param queries {@code [tokens, heads, dHead]}, after RoPE, contiguous
     * @param keys {@code [tokens, kvHeads, dHead]}, after RoPE, contiguous
     * @param values {@code [tokens, kvHeads, dHead]}, contiguous
     * @return {@code [tokens, heads, dHead]}, of {@code queries}' manager
     */
    NDArray attend(int layer, NDArray queries, NDArray keys, NDArray values);

    /**
     * Begins, while it is empty, with what it can get of a sequence's first tokens elsewhere.
     *
     * @param tokens the first tokens, all that are known
     * @param most of them that may be had without a pass through the model
     * @return how many were
     */
    default int restore(int[] tokens, int most) {
        return 0;
    }

    /** Tokens that have passed through all layers. */
    int length();

    /** Bytes that the cache's contents take now. */
    long byteSize();

    @Override
    void close();
}
