package io.sparrowkv.attention;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.TransformCodec;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.RefinedBackend;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockStore;
import io.sparrowkv.store.chronicle.StoreProfile;
import io.sparrowkv.store.chronicle.StoredSequence;
import io.sparrowkv.stream.KvStream;
import io.sparrowkv.stream.VectorBatch;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The key/value cache of one sequence, whose old tokens are codes, or quantized vectors, which codes are measured against.
 *
 * <p>The first tokens (sinks) stay dense; those after them form blocks of {@value CodeBlockLayout#TOKENS}. A query at position p reads
 * as codes every block that ends at or before p + 1 − window, and the rest dense, so that the result does not depend on how the
 * sequence was cut into chunks. Blocks are encoded in the background as soon as they are complete, ahead of their first use.
 * With window 0 everything but the sinks is read as codes, the query's own token too, and the open block is encoded at once.
 *
 * <p>Used by one thread at a time. After a failure the cache can only be closed.
 */
public final class SparseCache implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SparseCache.class);

    /** Vectors of a batch for the encoder: enough to keep its product busy. */
    private static final int BATCH_ROWS = 4096;

    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private final AttentionShape shape;
    private final RotaryEmbedding rotary;
    private final long dictionaryBytes;
    private final int mostLatents;
    private final CacheOptions options;
    private final Arena arena = Arena.ofShared();
    private final Layer[] layers;
    private final Optional<RefinedBackend> refined;
    private final KvStream stream;
    private final ChunkAttention attention;
    private final AttentionCall call;
    private StoredSequence stored;
    private boolean closed;

    private static final class Layer {
        final KvSite keys;
        final KvSite values;
        final DenseTokens sinks;
        final DenseTokens tail;
        int length;
        int submitted;

        Layer(KvSite keys, KvSite values, DenseTokens sinks, DenseTokens tail) {
            this.keys = keys;
            this.values = values;
            this.sinks = sinks;
            this.tail = tail;
        }
    }

    /**
     * Makes an empty cache.
     *
     * @param rotary turns keys back before they are encoded, and codes of keys forth, when the dictionaries were trained before RoPE
     * @param dictionaries of all the model's sites; they stay the caller's and must outlive the cache
     * @param encoders the caller's, must outlive the cache
     * @param store where full blocks go; the caller's, must outlive the cache, which removes its blocks when it is closed
     * @throws InvalidInputException when options or dictionaries do not fit the model
     */
    public SparseCache(
            AttentionShape shape,
            RotaryEmbedding rotary,
            DictionarySet dictionaries,
            EncoderBackend encoders,
            BlockStore store,
            CacheOptions options) {
        this(
                shape,
                rotary,
                options,
                new CodedSites(shape, dictionaries, store, options),
                options.refinement().kind() == Refinement.Kind.NONE
                        ? Optional.empty()
                        : Optional.of(new RefinedBackend(
                                encoders, options.refinement(), options.coefficients(), options.threads())),
                encoders::open);
    }

    /**
     * Makes an empty cache whose old tokens are quantized, each vector by itself, in memory of its own; keys as they are after RoPE.
     *
     * @param options of which window, sinks, threads and queue have a meaning here
     * @throws InvalidInputException when codec or options do not fit the model
     */
    public static SparseCache quantized(
            AttentionShape shape, RotaryEmbedding rotary, VectorCodec codec, CacheOptions options) {
        return quantized(shape, rotary, QuantizedSites.alike(shape, codec), options);
    }

    /**
     * As {@link #quantized(AttentionShape, RotaryEmbedding, VectorCodec, CacheOptions)}, each site by a codec of its own.
     *
     * @param codecs of every site
     */
    public static SparseCache quantized(
            AttentionShape shape, RotaryEmbedding rotary, Map<Site, VectorCodec> codecs, CacheOptions options) {
        return new SparseCache(
                shape, rotary, options, new QuantizedSites(shape, codecs, options), Optional.empty(), dictionary -> {
                    throw new IllegalStateException(dictionary.site() + ": a quantized cache has no dictionaries");
                });
    }

    /**
     * Makes an empty cache whose old tokens are transform-coded, in memory of its own; keys as they were before RoPE.
     *
     * @param codecs of every site
     * @param options of which window, sinks, threads and queue have a meaning here
     * @throws InvalidInputException when options do not fit the model
     */
    public static SparseCache transformed(
            AttentionShape shape, RotaryEmbedding rotary, Map<Site, TransformCodec> codecs, CacheOptions options) {
        return new SparseCache(
                shape, rotary, options, new TransformedSites(shape, codecs, options), Optional.empty(), dictionary -> {
                    throw new IllegalStateException(dictionary.site() + ": a transformed cache has no dictionaries");
                });
    }

    private SparseCache(
            AttentionShape shape,
            RotaryEmbedding rotary,
            CacheOptions options,
            KvSites sites,
            Optional<RefinedBackend> refined,
            Function<Dictionary, TopKEncoder> encoders) {
        if (rotary.dHead() != shape.dHead()) {
            throw new IllegalArgumentException("rotary of " + rotary.dHead() + ", dHead " + shape.dHead());
        }
        this.shape = shape;
        this.rotary = rotary;
        this.options = options;
        this.call = new AttentionCall(shape, options);
        this.refined = refined;
        this.dictionaryBytes = sites.dictionaryBytes();
        this.mostLatents = sites.mostLatents();
        layers = new Layer[shape.layers()];
        for (int layer = 0; layer < layers.length; layer++) {
            int tail = options.window() == 0 ? 0 : options.window() + TOKENS - 2;
            layers[layer] = new Layer(
                    sites.open(layer, VectorKind.KEY, arena),
                    sites.open(layer, VectorKind.VALUE, arena),
                    new DenseTokens(shape.kvHeads(), shape.dHead(), options.sinks(), 0),
                    new DenseTokens(shape.kvHeads(), shape.dHead(), tail, options.sinks()));
        }
        int batchTokens = Math.max(TOKENS, BATCH_ROWS / shape.kvHeads() / TOKENS * TOKENS);
        Function<Dictionary, TopKEncoder> open = refined.<Function<Dictionary, TopKEncoder>>map(
                        backend -> backend::open)
                .orElse(encoders);
        stream =
                new KvStream(open, shape.kvHeads(), shape.dHead(), sites.largestBudget(), batchTokens, options.queue());
        attention = new ChunkAttention(
                shape, rotary, sites.mostLatents(), sites.residualNumbers(), sites.largestBudget(), options.threads());
    }

    /**
     * Begins, while it is empty, with what a store knows of the sequence, and keeps in the store what it does not: codes, sinks, and
     * the dense vectors that the next one can go on from. Results are those of reading all tokens.
     *
     * @param sequence looked up for the tokens to come; it must outlive the cache
     * @return tokens that need not be read
     * @throws IllegalArgumentException when the store's codes are made or read in another way
     */
    public int restore(StoredSequence sequence) {
        StoreProfile profile = sequence.profile();
        if (stored != null || layers[0].length > 0) {
            throw new IllegalStateException("the cache is not empty");
        }
        if (!profile.equals(
                options.storeProfile(shape, profile.model(), profile.dictionaries(), profile.latents(), mostLatents))) {
            throw new IllegalArgumentException("a store of " + profile + " for a cache of " + options);
        }
        stored = sequence;
        for (int layer = 0; layer < layers.length; layer++) {
            restore(layer, layers[layer]);
        }
        return length();
    }

    private void restore(int index, Layer layer) {
        if (!(layer.keys instanceof CodedSite keyCodes) || !(layer.values instanceof CodedSite valueCodes)) {
            throw new IllegalStateException("a store keeps codes, not quantized vectors");
        }
        for (CodedSite site : new CodedSite[] {keyCodes, valueCodes}) {
            CodeBlockLayout kept = stored.profile().layout(index, site.site().kind());
            if (!kept.equals(site.layout())) {
                throw new IllegalArgumentException("a store of %s for %s".formatted(kept, site.layout()));
            }
        }
        int blocks = stored.restoredBlocks();
        keyCodes.restore(stored);
        valueCodes.restore(stored);
        if (blocks == 0) {
            return;
        }
        if (options.sinks() > 0) {
            layer.sinks.append(
                    stored.sinks(index, VectorKind.KEY), stored.sinks(index, VectorKind.VALUE), 0, 0, options.sinks());
        }
        layer.length = stored.restoredTokens();
        layer.submitted = blocks * TOKENS;
        int dense = coded(layer.length);
        layer.tail.dropBefore(options.sinks() + dense);
        for (int block = dense / TOKENS; block < blocks && options.window() > 0; block++) {
            int first = options.sinks() + block * TOKENS;
            MemorySegment keys = stored.dense(block, index, VectorKind.KEY);
            MemorySegment values = stored.dense(block, index, VectorKind.VALUE);
            layer.tail.append(keys, values, first, first, first + TOKENS);
        }
        releaseUnseen(index, layer);
    }

    /**
     * Appends a chunk's keys and values to a layer and computes attention for its queries. The segments are read and written
     * by several threads: no confined arena's.
     *
     * @param layer the decoder layer
     * @param queries fp32 {@code [tokens, heads, dHead]}, after RoPE
     * @param keys fp32 {@code [tokens, kvHeads, dHead]}, after RoPE
     * @param values fp32 {@code [tokens, kvHeads, dHead]}
     * @param tokens tokens of the chunk, at least 1
     * @param output written, fp32 {@code [tokens, heads, dHead]}
     * @throws RuntimeException the encoder's or the store's, when they failed in the background since the last call
     */
    public void attend(
            int layer,
            MemorySegment queries,
            MemorySegment keys,
            MemorySegment values,
            int tokens,
            MemorySegment output) {
        stream.check();
        Layer state = layers[layer];
        int start = state.length;
        int end = Math.addExact(start, tokens);
        requireFloats("queries", queries, tokens, shape.heads());
        requireFloats("keys", keys, tokens, shape.kvHeads());
        requireFloats("values", values, tokens, shape.kvHeads());
        requireFloats("output", output, tokens, shape.heads());

        submit(state, keys, values, start, end);
        int sinkEnd = Math.clamp(options.sinks(), start, end);
        state.sinks.append(keys, values, start, start, sinkEnd);
        if (stored != null && start < sinkEnd && sinkEnd == options.sinks()) {
            keepSinks(layer, state);
        }
        prepare(layer, state, queries, keys, values, tokens, output, sinkEnd);
        int coded = coded(end - 1);
        stream.await(state.keys, coded);
        stream.await(state.values, coded);
        attention.run(call);

        state.length = end;
        retire(state, keys, values, start, layer);
    }

    /** Tokens that every layer has seen. */
    public int length() {
        return layers[layers.length - 1].length;
    }

    /** The bytes held, by part, once all is coded that is under way, which this waits for. */
    public CacheBytes bytes() {
        awaitSubmitted();
        CacheBytes.Codes keys = CacheBytes.Codes.NONE;
        CacheBytes.Codes values = CacheBytes.Codes.NONE;
        long vectors = 0;
        long window = 0;
        long sinks = 0;
        for (Layer layer : layers) {
            boolean open = readsOpenBlock(layer.keys);
            vectors += (layer.keys.blocks() + (open ? 1L : 0)) * TOKENS * shape.kvHeads();
            keys = keys.plus(layer.keys.bytes(open));
            values = values.plus(layer.values.bytes(open));
            window += layer.tail.byteSize();
            sinks += layer.sinks.byteSize();
        }
        return new CacheBytes(
                length(),
                vectors,
                keys.indices(),
                keys.coefficients(),
                keys.residuals(),
                keys.scales(),
                values.indices(),
                values.coefficients(),
                values.residuals(),
                values.scales(),
                window,
                sinks,
                dictionaryBytes,
                length() * shape.denseFp16BytesPerToken());
    }

    /** Ends the encoding, removes the sequence's blocks from the store and frees the rest. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        if (stored != null) {
            finishKeeping();
        }
        stream.close();
        refined.ifPresent(RefinedBackend::close);
        attention.close();
        for (Layer layer : layers) {
            layer.keys.close();
            layer.values.close();
            layer.sinks.close();
            layer.tail.close();
        }
        arena.close();
    }

    private void requireFloats(String name, MemorySegment segment, int tokens, int heads) {
        long bytes = (long) tokens * heads * shape.dHead() * Float.BYTES;
        if (tokens < 1 || segment.byteSize() < bytes) {
            throw new IllegalArgumentException("%s: %d bytes where %d tokens of %d heads take %d"
                    .formatted(name, segment.byteSize(), tokens, heads, bytes));
        }
    }

    /** Tokens after the sinks that a query at {@code position} reads as codes. */
    private int coded(int position) {
        return AttentionCall.coded(position, options.window(), options.sinks(), TOKENS);
    }

    /** Sends the vectors of completed blocks (with window 0: of all tokens) to the encoder. */
    private void submit(Layer layer, MemorySegment keys, MemorySegment values, int start, int end) {
        int codable = Math.max(0, end - options.sinks());
        if (options.window() > 0) {
            codable = codable / TOKENS * TOKENS;
        }
        while (layer.submitted < codable) {
            int count = Math.min(stream.batchTokens(), codable - layer.submitted);
            submit(layer, layer.keys, keys, start, count);
            submit(layer, layer.values, values, start, count);
            layer.submitted += count;
        }
    }

    private void submit(Layer layer, KvSite site, MemorySegment chunk, int start, int count) {
        VectorBatch batch = stream.acquire();
        MemorySegment vectors = batch.vectors();
        boolean ofKeys = site == layer.keys;
        int from = options.sinks() + layer.submitted;
        int to = from + count;
        long token = (long) shape.kvHeads() * shape.dHead() * Float.BYTES;
        int boundary = Math.clamp(start, from, to);
        layer.tail.copyTo(ofKeys, from, boundary, vectors);
        MemorySegment.copy(
                chunk, (boundary - start) * token, vectors, (boundary - from) * token, (to - boundary) * token);
        if (stored != null && options.window() > 0) {
            keepDense(site.site(), layer.submitted / TOKENS, count / TOKENS, vectors);
        }
        if (ofKeys && site.beforeRope()) {
            rotary.unrotate(vectors, 0, count, shape.kvHeads(), from);
        }
        stream.submit(batch, site, layer.submitted, count);
    }

    /** Keeps whole blocks of a batch, before their keys are turned back. */
    private void keepDense(Site site, int firstBlock, int blocks, MemorySegment vectors) {
        long bytes = (long) TOKENS * shape.kvHeads() * shape.dHead() * Float.BYTES;
        for (int i = 0; i < blocks; i++) {
            if (stored.wantsDense(firstBlock + i)) {
                stored.keepDense(firstBlock + i, site.layer(), site.kind(), vectors.asSlice(i * bytes, bytes));
            }
        }
    }

    private void keepSinks(int index, Layer layer) {
        try (Arena scratch = Arena.ofConfined()) {
            long bytes = (long) options.sinks() * shape.kvHeads() * shape.dHead() * Float.BYTES;
            MemorySegment vectors = scratch.allocate(bytes, Float.BYTES);
            for (VectorKind kind : VectorKind.values()) {
                layer.sinks.copyTo(kind == VectorKind.KEY, 0, options.sinks(), vectors);
                stored.keepSinks(index, kind, vectors);
            }
        }
    }

    /** Waits for the codes that are under way, which the store shall have too. */
    private void finishKeeping() {
        try {
            awaitSubmitted();
        } catch (RuntimeException | Error e) {
            // Whoever needed them has met the failure; the next reader makes them again.
            LOG.debug("codes under way were lost: {}", e.getMessage());
        }
    }

    private void awaitSubmitted() {
        for (Layer layer : layers) {
            stream.await(layer.keys, layer.submitted);
            stream.await(layer.values, layer.submitted);
        }
    }

    private void prepare(
            int index,
            Layer layer,
            MemorySegment queries,
            MemorySegment keys,
            MemorySegment values,
            int tokens,
            MemorySegment output,
            int sinkEnd) {
        int start = layer.length;
        call.queries = queries;
        call.output = output;
        call.start = start;
        call.queriesPerHead = tokens * shape.group();
        call.slidingWindow = shape.slidingWindows().get(index);
        call.keys = layer.keys;
        call.values = layer.values;
        call.readKey = options.read().of(index, VectorKind.KEY);
        call.readValue = options.read().of(index, VectorKind.VALUE);
        call.rotatesKeys = layer.keys.beforeRope();
        call.sinkRun.tokens = 0;
        if (layer.sinks.end() > 0) {
            layer.sinks.describeRun(0, call.sinkRun);
        }
        call.tailRunCount = 0;
        for (int token = layer.tail.first(); token < layer.tail.end(); ) {
            token = layer.tail.describeRun(token, call.tailRuns[call.tailRunCount++]);
        }
        if (sinkEnd < start + tokens) {
            long vector = (long) shape.dHead() * Float.BYTES;
            long token = shape.kvHeads() * vector;
            call.tailRuns[call.tailRunCount++].set(
                    keys, values, (sinkEnd - start) * token, vector, token, sinkEnd, start + tokens - sinkEnd);
        }
    }

    /** Lets go of what no later query reads dense, or at all, and keeps the rest of the chunk. */
    private void retire(Layer layer, MemorySegment keys, MemorySegment values, int start, int index) {
        int end = layer.length;
        int tailFrom = Math.min(end, options.sinks() + coded(end));
        layer.tail.dropBefore(Math.max(tailFrom, options.sinks()));
        int from = Math.max(tailFrom, Math.max(start, options.sinks()));
        if (from < end) {
            layer.tail.append(keys, values, start, from, end);
        }
        releaseUnseen(index, layer);
    }

    private void releaseUnseen(int index, Layer layer) {
        int end = layer.length;
        int sliding = shape.slidingWindows().get(index);
        if (sliding != AttentionShape.UNLIMITED) {
            int unseen = Math.max(0, end + 1 - sliding - options.sinks());
            layer.keys.release(unseen / TOKENS);
            layer.values.release(unseen / TOKENS);
        }
    }

    /** With window 0 the block that is being filled is read as codes too. */
    private boolean readsOpenBlock(KvSite site) {
        return options.window() == 0 && site.tokens() % TOKENS != 0;
    }
}
