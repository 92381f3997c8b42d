package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import io.sparrowkv.attention.AttentionShape;

/**
 * The dense cache in fp32: the baseline, at libtorch's speed. Queries of one KV head are multiplied with its keys as one matrix, so
 * nothing is repeated for grouped queries, and a long chunk goes tile by tile, so that its scores take bounded memory.
 */
public final class DenseKvCache implements KvCache {
    /**
     * Most scores held at once: 16 MB. glibc recycles blocks of up to 32 MB; larger ones go back to the system each time, and getting
     * them anew costs more than using them.
     */
    private static final long TILE_SCORES = 1L << 22;

    private final AttentionShape shape;
    private final NDManager manager;
    private final DenseLayer[] layers;
    private CausalMask mask = CausalMask.NONE;

    /**
     * @param expectedTokens tokens for which room is set aside, without yet taking memory; more are taken too
     */
    public DenseKvCache(AttentionShape shape, int expectedTokens) {
        this.shape = shape;
        this.manager = Libtorch.newManager();
        this.layers = new DenseLayer[shape.layers()];
        for (int i = 0; i < layers.length; i++) {
            layers[i] = new DenseLayer(
                    manager,
                    shape.kvHeads(),
                    shape.dHead(),
                    shape.slidingWindows().get(i),
                    expectedTokens);
        }
    }

    /** Bytes that a cache of {@code tokens} tokens takes. */
    public static long bytesNeeded(AttentionShape shape, int tokens) {
        long rows = 0;
        for (int window : shape.slidingWindows()) {
            rows += DenseLayer.capacity(window, tokens);
        }
        return 2L * Float.BYTES * rows * shape.kvHeads() * shape.dHead();
    }

    @Override
    public NDArray attend(int layer, NDArray queries, NDArray keys, NDArray values) {
        DenseLayer store = layers[layer];
        int tokens = (int) queries.getShape().get(0);
        int position = store.length();
        store.append(keys, values, tokens);
        NDManager outer = queries.getManager();
        try (NDManager scope = outer.newSubManager()) {
            scope.tempAttachAll(queries);
            NDArray grouped = queries.reshape(tokens, shape.kvHeads(), shape.group(), shape.dHead())
                    .transpose(1, 2, 0, 3)
                    .mul(shape.scale()); // [kvHeads, group, tokens, dHead]
            // Few scores: all heads at once, in few calls. Many: head by head, so that a tile has rows enough for each
            // key it reads.
            long scores = (long) shape.heads() * tokens * store.length();
            int heads = scores <= TILE_SCORES ? shape.kvHeads() : 1;
            int tile = (int) Math.clamp(TILE_SCORES / ((long) heads * shape.group() * store.length()), 1, tokens);
            NDList outputs = new NDList();
            for (int from = 0; from < tokens; from += tile) {
                int to = Math.min(tokens, from + tile);
                NDList byHead = new NDList();
                for (int head = 0; head < shape.kvHeads(); head += heads) {
                    NDArray rows = heads == shape.kvHeads() && tile == tokens
                            ? grouped
                            : grouped.get(new NDIndex("{}:{}, :, {}:{}", head, head + heads, from, to));
                    byHead.add(attendTile(scope, store, rows, position + from, to - from, head, heads));
                }
                outputs.add(byHead.size() == 1 ? byHead.get(0) : NDArrays.concat(byHead, 1));
            }
            NDArray output = outputs.size() == 1 ? outputs.get(0) : NDArrays.concat(outputs, 0);
            output.attach(outer);
            return output;
        }
    }

    /** @param queries {@code [heads, group, rows, dHead]}, scaled; the result is {@code [rows, heads * group, dHead]} */
    private NDArray attendTile(
            NDManager outer, DenseLayer store, NDArray queries, int position, int rows, int head, int heads) {
        try (NDManager scope = outer.newSubManager()) {
            int window = store.window();
            int from = window == 0 ? 0 : Math.max(0, position - window + 1);
            int to = position + rows;
            int group = shape.group();
            NDArray stacked = queries.reshape(heads, (long) group * rows, shape.dHead());
            stacked.attach(scope);
            NDArray scores =
                    stacked.matMul(store.keys(scope, head, heads, from, to).transpose(0, 2, 1));
            mask = mask.forTile(manager, rows, to - from, window);
            mask.apply(scores.reshape((long) heads * group, rows, to - from));
            NDArray output = scores.softmax(-1)
                    .matMul(store.values(scope, head, heads, from, to))
                    .reshape(heads, group, rows, shape.dHead())
                    .transpose(2, 0, 1, 3)
                    .reshape(rows, (long) heads * group, shape.dHead());
            output.attach(outer);
            return output;
        }
    }

    @Override
    public int length() {
        return layers[layers.length - 1].length();
    }

    @Override
    public long byteSize() {
        long bytes = 0;
        for (DenseLayer layer : layers) {
            bytes += layer.byteSize();
        }
        return bytes;
    }

    @Override
    public void close() {
        manager.close();
    }
}
