package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.attention.SparseCache;

/** A sparse cache as a model sees it: it reads and writes libtorch's memory where it is. */
public final class SparseKvCache implements KvCache {
    private final SparseCache cache;

    /** @param cache this object's to close from now on */
    public SparseKvCache(SparseCache cache) {
        this.cache = cache;
    }

    @Override
    public NDArray attend(int layer, NDArray queries, NDArray keys, NDArray values) {
        NDArray output = queries.getManager().create(queries.getShape(), DataType.FLOAT32);
        cache.attend(
                layer,
                Libtorch.memory(queries),
                Libtorch.memory(keys),
                Libtorch.memory(values),
                (int) queries.getShape().get(0),
                Libtorch.memory(output));
        return output;
    }

    @Override
    public int length() {
        return cache.length();
    }

    /** Bytes of this sequence: codes, window and sinks, without the dictionaries. */
    @Override
    public long byteSize() {
        return cache.bytes().total();
    }

    /** The bytes held now, by part. */
    public CacheBytes bytes() {
        return cache.bytes();
    }

    @Override
    public void close() {
        cache.close();
    }
}
