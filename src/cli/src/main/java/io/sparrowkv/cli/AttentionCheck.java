package io.sparrowkv.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.DecodedAttention;
import io.sparrowkv.attention.RotaryEmbedding;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.BlockStore;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Holds the sparse cache's attention against its definition, on a short random sequence of the measured shape. */
final class AttentionCheck {
    /** Above it attention is not what it is defined to be. */
    private static final double TOLERANCE = 1e-4;

    /** The same for levels: where rounding decides between two of them, fp32 and fp64 may take either, and a token differ by a step. */
    private static final double TOLERANCE_OF_LEVELS = 0.1;

    /** Most dense tokens of the sequence: the definition's cost grows with their square. */
    private static final int WINDOW = 64;

    private AttentionCheck() {}

    /** The largest difference that codes made in this way explain. */
    static double tolerance(CacheOptions options) {
        return options.coefficients().scaled() ? TOLERANCE_OF_LEVELS : TOLERANCE;
    }

    /** The largest difference from attention over the decoded vectors in fp64, relative to the largest output. */
    static double largestDifference(
            AttentionShape shape,
            double ropeTheta,
            DictionarySet dictionaries,
            EncoderBackend encoders,
            CacheOptions asked,
            long seed) {
        CacheOptions options = asked.withWindow(Math.min(WINDOW, asked.window()))
                .withSinks(Math.min(CacheOptions.DEFAULT_SINKS, asked.sinks()));
        // Long enough for the last query to read one whole block as codes.
        int tokens = options.sinks() + options.window() + WINDOW + 1;
        long token = (long) shape.dHead() * Float.BYTES;
        try (Arena arena = Arena.ofShared();
                BlockStore store = new ArrowBlockStore(Long.MAX_VALUE);
                SparseCache cache = new SparseCache(
                        shape,
                        RotaryEmbedding.plain(shape.dHead(), ropeTheta),
                        dictionaries,
                        encoders,
                        store,
                        options)) {
            MemorySegment queries = RandomDictionaries.vectors(arena, tokens * shape.heads(), shape.dHead(), seed);
            MemorySegment keys = RandomDictionaries.vectors(arena, tokens * shape.kvHeads(), shape.dHead(), seed + 1);
            MemorySegment values = RandomDictionaries.vectors(arena, tokens * shape.kvHeads(), shape.dHead(), seed + 2);
            MemorySegment output = arena.allocate(tokens * shape.heads() * token, 64);
            cache.attend(0, queries, keys, values, tokens, output);
            double[] expected = new DecodedAttention(
                            shape, options, dictionaries, RotaryEmbedding.frequencies(shape.dHead(), ropeTheta))
                    .attend(
                            0,
                            queries.toArray(JAVA_FLOAT),
                            keys.toArray(JAVA_FLOAT),
                            values.toArray(JAVA_FLOAT),
                            tokens);
            double scale = 0;
            double largest = 0;
            for (int i = 0; i < expected.length; i++) {
                scale = Math.max(scale, Math.abs(expected[i]));
                largest = Math.max(largest, Math.abs(output.getAtIndex(JAVA_FLOAT, i) - expected[i]));
            }
            return largest / scale;
        }
    }
}
