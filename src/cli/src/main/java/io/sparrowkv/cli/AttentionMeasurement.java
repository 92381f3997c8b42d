package io.sparrowkv.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.DecodedAttention;
import io.sparrowkv.attention.RotaryEmbedding;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.BlockStore;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;

/**
 * How fast one layer's attention over codes is on random vectors, and how far it is from its definition.
 *
 * @param tokens context that the measured queries read
 * @param fillTokensPerSecond encoding and attention while the context is read in chunks
 * @param queryMicros median time of one token's attention over the context
 * @param bytes of the cache
 * @param largestDifference from attention over the decoded vectors in fp64, relative to the largest output, over a short sequence
 */
record AttentionMeasurement(
        String encoder,
        int tokens,
        double fillTokensPerSecond,
        double queryMicros,
        CacheBytes bytes,
        double largestDifference) {
    /** Above it attention is not what it is defined to be. */
    static final double TOLERANCE = 1e-4;

    private static final int CHUNK = 512;
    private static final double ROPE_THETA = 10_000;

    /** Dense tokens of the short sequence that is compared with the definition: its cost grows with their square. */
    private static final int CHECKED_WINDOW = 64;

    /** What is measured. */
    record Workload(
            int heads,
            int kvHeads,
            int dHead,
            int latents,
            RopeStage rope,
            int tokens,
            CacheOptions options,
            long seed) {
        AttentionShape shape() {
            return AttentionShape.of(1, heads, kvHeads, dHead);
        }

        float[] inverseFrequencies() {
            float[] frequencies = new float[dHead / 2];
            for (int i = 0; i < frequencies.length; i++) {
                frequencies[i] = (float) Math.pow(ROPE_THETA, -2.0 * i / dHead);
            }
            return frequencies;
        }
    }

    boolean agrees() {
        return largestDifference <= TOLERANCE;
    }

    /** Checks a short sequence, fills a cache, then measures for about {@code time}. */
    static AttentionMeasurement of(EncoderBackend backend, Workload work, Duration time) {
        try (DictionarySet dictionaries = RandomDictionaries.set(
                        1, 0, work.rope(), work.dHead(), work.latents(), work.latents(), work.seed());
                BlockStore store = new ArrowBlockStore(Long.MAX_VALUE)) {
            double difference = largestDifference(backend, dictionaries, store, work);
            try (SparseCache cache = cache(backend, dictionaries, store, work, work.options());
                    Arena arena = Arena.ofConfined()) {
                Vectors chunk = Vectors.allocate(arena, CHUNK, work);
                long nanos = 0;
                for (int from = 0; from < work.tokens(); from += CHUNK) {
                    int tokens = Math.min(CHUNK, work.tokens() - from);
                    chunk.fill(work.seed() + from);
                    long started = System.nanoTime();
                    chunk.attend(cache, tokens);
                    nanos += System.nanoTime() - started;
                }
                CacheBytes bytes = cache.bytes();
                double perQuery = Median.nanosPerCall(time, () -> chunk.attend(cache, 1));
                return new AttentionMeasurement(
                        backend.name(),
                        work.tokens(),
                        work.tokens() / (nanos / 1e9),
                        perQuery / 1e3,
                        bytes,
                        difference);
            }
        }
    }

    private static double largestDifference(
            EncoderBackend backend, DictionarySet dictionaries, BlockStore store, Workload work) {
        CacheOptions options = work.options()
                .withWindow(Math.min(CHECKED_WINDOW, work.options().window()))
                .withSinks(Math.min(CacheOptions.DEFAULT_SINKS, work.options().sinks()));
        // The last query reads one whole block as codes.
        int tokens = options.sinks() + options.window() + CHECKED_WINDOW + 1;
        try (SparseCache cache = cache(backend, dictionaries, store, work, options);
                Arena arena = Arena.ofConfined()) {
            Vectors vectors = Vectors.allocate(arena, tokens, work);
            vectors.fill(work.seed());
            vectors.attend(cache, tokens);
            double[] expected = new DecodedAttention(work.shape(), options, dictionaries, work.inverseFrequencies())
                    .attend(
                            0,
                            vectors.queries().toArray(JAVA_FLOAT),
                            vectors.keys().toArray(JAVA_FLOAT),
                            vectors.values().toArray(JAVA_FLOAT),
                            tokens);
            double scale = 0;
            double largest = 0;
            for (int i = 0; i < expected.length; i++) {
                double found = vectors.output().getAtIndex(JAVA_FLOAT, i);
                scale = Math.max(scale, Math.abs(expected[i]));
                largest = Math.max(largest, Math.abs(found - expected[i]));
            }
            return largest / scale;
        }
    }

    private static SparseCache cache(
            EncoderBackend backend, DictionarySet dictionaries, BlockStore store, Workload work, CacheOptions options) {
        RotaryEmbedding rotary = new RotaryEmbedding(work.inverseFrequencies());
        return new SparseCache(work.shape(), rotary, dictionaries, backend, store, options);
    }

    /** One chunk's random queries, keys and values, and room for the output. */
    private record Vectors(MemorySegment queries, MemorySegment keys, MemorySegment values, MemorySegment output) {
        static Vectors allocate(Arena arena, int tokens, Workload work) {
            long token = (long) work.dHead() * Float.BYTES;
            return new Vectors(
                    arena.allocate(tokens * work.heads() * token, 64),
                    arena.allocate(tokens * work.kvHeads() * token, 64),
                    arena.allocate(tokens * work.kvHeads() * token, 64),
                    arena.allocate(tokens * work.heads() * token, 64));
        }

        void fill(long seed) {
            RandomDictionaries.fill(queries, seed);
            RandomDictionaries.fill(keys, seed + 1);
            RandomDictionaries.fill(values, seed + 2);
        }

        void attend(SparseCache cache, int tokens) {
            cache.attend(0, queries, keys, values, tokens, output);
        }
    }
}
