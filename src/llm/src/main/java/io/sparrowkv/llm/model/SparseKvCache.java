package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.sae.Site;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.StoredSequence;
import java.util.Map;
import java.util.Optional;

/** A sparse cache as a model sees it: it reads and writes libtorch's memory where it is. */
public final class SparseKvCache implements KvCache {
    private final SparseCache cache;
    private final Optional<ChronicleBlockStore> known;
    private Optional<StoredSequence> sequence = Optional.empty();

    /** @param cache this object's to close from now on */
    public SparseKvCache(SparseCache cache) {
        this.cache = cache;
        this.known = Optional.empty();
    }

    /**
     * A cache that takes known beginnings from a store, and keeps new ones there.
     *
     * @param cache this object's to close from now on
     * @param known the caller's, must outlive this object
     */
    public SparseKvCache(SparseCache cache, ChronicleBlockStore known) {
        this.cache = cache;
        this.known = Optional.of(known);
    }

    /**
     * A cache for the model whose vectors are quantized.
     *
     * @param codecs of every site
     * @param options window, sinks and threads count here
     */
    public static SparseKvCache quantized(CausalLm lm, Map<Site, VectorCodec> codecs, CacheOptions options) {
        return new SparseKvCache(SparseCache.quantized(lm.config().attentionShape(), lm.rotary(), codecs, options));
    }

    @Override
    public int restore(int[] tokens, int most) {
        sequence = known.map(store -> store.sequence(tokens, most));
        return sequence.map(cache::restore).orElse(0);
    }

    /** Blocks of tokens that came from the store. */
    public int restoredBlocks() {
        return sequence.map(StoredSequence::restoredBlocks).orElse(0);
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
        sequence.ifPresent(StoredSequence::close);
    }
}
