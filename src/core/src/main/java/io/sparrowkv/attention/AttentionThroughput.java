package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.store.ArrowBlockStore;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;

/**
 * How fast the sparse cache attends at a given context, measured on random vectors.
 *
 * @param context tokens in the cache before the first measured call
 * @param chunk tokens a call
 * @param calls calls measured, of all layers
 * @param fillVectorsPerSecond keys and values that went into the cache a second while it was filled to the context, attention included
 * @param p50Micros median time of a layer's call in µs
 * @param p99Micros 99th percentile of that time in µs
 * @param bytes what the cache held at the end
 */
public record AttentionThroughput(
        int context,
        int chunk,
        int calls,
        double fillVectorsPerSecond,
        double p50Micros,
        double p99Micros,
        CacheBytes bytes) {
    private static final int FILL_CHUNK = 512;

    /**
     * Measures.
     *
     * @param context tokens to fill the cache with first
     * @param chunk tokens of a measured call; 1 is what generating a token does
     * @param time how long to measure; half as long is spent before to warm up
     * @param storeLimit bytes that the codes may take
     * @param seed of the random vectors
     */
    public static AttentionThroughput measure(
            AttentionShape shape,
            RotaryEmbedding rotary,
            DictionarySet dictionaries,
            EncoderBackend encoders,
            CacheOptions options,
            int context,
            int chunk,
            Duration time,
            long storeLimit,
            long seed) {
        if (context < 0 || chunk < 1) {
            throw new IllegalArgumentException("context " + context + ", chunk " + chunk);
        }
        try (Arena arena = Arena.ofShared();
                ArrowBlockStore store = new ArrowBlockStore(storeLimit);
                SparseCache cache = new SparseCache(shape, rotary, dictionaries, encoders, store, options)) {
            int most = Math.max(chunk, FILL_CHUNK);
            Random random = new Random(seed);
            MemorySegment queries = vectors(arena, most * shape.heads() * shape.dHead(), random);
            MemorySegment keys = vectors(arena, most * shape.kvHeads() * shape.dHead(), random);
            MemorySegment values = vectors(arena, most * shape.kvHeads() * shape.dHead(), random);
            MemorySegment output = arena.allocate(queries.byteSize(), 64);
            long fillStart = System.nanoTime();
            while (cache.length() < context) {
                int count = Math.min(FILL_CHUNK, context - cache.length());
                for (int layer = 0; layer < shape.layers(); layer++) {
                    cache.attend(layer, queries, keys, values, count, output);
                }
            }
            double fillSeconds = Math.max(1, System.nanoTime() - fillStart) / 1e9;
            long[] times = new long[1024];
            int calls = 0;
            int layer = 0;
            long warm = System.nanoTime() + time.toNanos() / 2;
            long end = warm + time.toNanos();
            for (long before = System.nanoTime(); before < end || calls == 0 || layer != 0; ) {
                cache.attend(layer, queries, keys, values, chunk, output);
                layer = (layer + 1) % shape.layers();
                long after = System.nanoTime();
                if (before >= warm || after >= end) {
                    if (calls == times.length) {
                        times = Arrays.copyOf(times, 2 * calls);
                    }
                    times[calls++] = after - before;
                }
                before = after;
            }
            long[] sorted = Arrays.stream(times, 0, calls).sorted().toArray();
            return new AttentionThroughput(
                    context,
                    chunk,
                    calls,
                    2.0 * context * shape.layers() * shape.kvHeads() / fillSeconds,
                    sorted[calls / 2] / 1e3,
                    sorted[(int) (calls * 0.99)] / 1e3,
                    cache.bytes());
        }
    }

    private static MemorySegment vectors(Arena arena, int floats, Random random) {
        MemorySegment vectors = arena.allocate((long) floats * Float.BYTES, 64);
        for (int i = 0; i < floats; i++) {
            vectors.setAtIndex(JAVA_FLOAT, i, (float) random.nextGaussian());
        }
        return vectors;
    }
}
