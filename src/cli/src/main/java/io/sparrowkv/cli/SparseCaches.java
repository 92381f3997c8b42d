package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.SparseKvCache;
import io.sparrowkv.sae.DictionaryFiles;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import java.util.Optional;

/** All that the sparse caches of one model share: dictionaries, encoder and store; it makes the caches. */
final class SparseCaches implements AutoCloseable {
    private final CausalLm lm;
    private final DictionarySet dictionaries;
    private final EncoderBackend encoders;
    private final ArrowBlockStore store;
    private Optional<ChronicleBlockStore> known = Optional.empty();

    private SparseCaches(CausalLm lm, DictionarySet dictionaries, EncoderBackend encoders, ArrowBlockStore store) {
        this.lm = lm;
        this.dictionaries = dictionaries;
        this.encoders = encoders;
        this.store = store;
    }

    /**
     * Reads the dictionaries and starts the encoder.
     *
     * @throws io.sparrowkv.io.InvalidInputException when dictionaries or encoder cannot be used
     */
    static SparseCaches open(CausalLm lm, DictionaryArguments arguments) {
        DictionarySet set = DictionaryFiles.read(
                arguments.folder(lm.folder()),
                lm.folder().toString(),
                lm.fingerprint(),
                lm.config().dHead());
        return of(lm, set, arguments);
    }

    /** Takes over dictionaries that are in memory, and starts the encoder. */
    static SparseCaches of(CausalLm lm, DictionarySet set, DictionaryArguments arguments) {
        try {
            EncoderBackend encoders = Encoders.start(arguments.encoder(), arguments.threads());
            return new SparseCaches(lm, set, encoders, new ArrowBlockStore(Long.MAX_VALUE));
        } catch (RuntimeException e) {
            set.close();
            throw e;
        }
    }

    DictionarySet dictionaries() {
        return dictionaries;
    }

    EncoderBackend encoders() {
        return encoders;
    }

    /**
     * Lets the caches begin with what a store on disk knows, and keep in it what it does not, if one is asked for.
     *
     * @param options those of all caches to come
     * @throws io.sparrowkv.io.InvalidInputException when the store was made for other codes
     */
    void useStore(StoreArguments arguments, CacheOptions options) {
        known = arguments.open(
                () -> options.storeProfile(lm.config().attentionShape(), lm.fingerprint(), dictionaries));
    }

    /** The store on disk that is in use. */
    Optional<ChronicleBlockStore> known() {
        return known;
    }

    /** An empty cache, beside the store that is in use; the caller closes it. */
    SparseKvCache newCache(CacheOptions options) {
        return newCache(options, known);
    }

    /** An empty cache that begins with what {@code from} knows; the caller closes it. */
    SparseKvCache newCache(CacheOptions options, Optional<ChronicleBlockStore> from) {
        SparseCache cache =
                new SparseCache(lm.config().attentionShape(), lm.rotary(), dictionaries, encoders, store, options);
        return from.isPresent() ? new SparseKvCache(cache, from.get()) : new SparseKvCache(cache);
    }

    /** Caches of sparse codes, to be compared. */
    CacheUnderTest underTest(CacheOptions options) {
        return new CacheUnderTest("sparse", () -> newCache(options));
    }

    @Override
    public void close() {
        known.ifPresent(ChronicleBlockStore::close);
        store.close();
        encoders.close();
        dictionaries.close();
    }
}
