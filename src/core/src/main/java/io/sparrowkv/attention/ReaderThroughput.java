package io.sparrowkv.attention;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * How fast a {@link CodeReader} attends to codes for one token, measured on codes of random vectors, with the result checked in the same
 * run.
 *
 * @param reader name of the reader
 * @param description what it ran on
 * @param context coded tokens that are read
 * @param calls calls measured
 * @param p50Micros median time of a call in µs
 * @param p99Micros 99th percentile of that time in µs
 * @param largestDifference from the definition, relative to the largest output, over the first tokens
 */
public record ReaderThroughput(
        String reader,
        String description,
        int context,
        int calls,
        double p50Micros,
        double p99Micros,
        double largestDifference) {
    /** Blocks of codes that the context repeats. */
    private static final int OWN_BLOCKS = 4;

    /** Tokens of the check: the definition takes its time. */
    private static final int CHECKED_TOKENS = 200;

    private static final int MOST_CALLS = 100_000;

    /**
     * Measures.
     *
     * @param reader as {@link CodeReaders#open} takes it
     * @param dictionaries of keys after RoPE
     * @param encoders make the codes
     * @param description what it ran on
     * @param context coded tokens, at least 1
     * @param time how long to measure; half as long is spent before to warm up
     * @param seed of the random vectors
     */
    public static ReaderThroughput measure(
            String reader,
            AttentionShape shape,
            DictionarySet dictionaries,
            EncoderBackend encoders,
            CacheOptions options,
            int context,
            Duration time,
            long seed) {
        CodedLayer layer = CodedLayer.of(shape, dictionaries, 0, options.stored(), context);
        int readKey = options.read().of(0, VectorKind.KEY);
        int readValue = options.read().of(0, VectorKind.VALUE);
        try (Arena arena = Arena.ofShared();
                CodedSums sums = CodedSums.allocate(shape.heads(), shape.dHead());
                CodeReader opened = CodeReaders.open(reader, layer)) {
            List<MemorySegment> keys = encode(arena, encoders, layer.keys(), layer.keyLayout(), seed);
            List<MemorySegment> values = encode(arena, encoders, layer.values(), layer.valueLayout(), seed + 1);
            for (int block = 0; block < layer.blocks(); block++) {
                opened.put(block, keys.get(block % OWN_BLOCKS), values.get(block % OWN_BLOCKS));
            }
            MemorySegment queries = RandomDictionaries.vectors(arena, shape.heads(), shape.dHead(), seed + 2);
            long[] times = new long[MOST_CALLS];
            int calls = 0;
            long warm = System.nanoTime() + time.toNanos() / 2;
            long end = warm + time.toNanos();
            for (long before = System.nanoTime(); (before < end || calls == 0) && calls < MOST_CALLS; ) {
                opened.attend(queries, 0, context, readKey, readValue, sums);
                long after = System.nanoTime();
                if (before >= warm || after >= end) {
                    times[calls++] = after - before;
                }
                before = after;
            }
            long[] sorted = Arrays.stream(times, 0, calls).sorted().toArray();
            int checked = Math.min(context, Math.min(OWN_BLOCKS * CodeBlockLayout.TOKENS, CHECKED_TOKENS));
            MemorySegment output = arena.allocate(queries.byteSize(), 64);
            opened.attend(queries, 0, checked, readKey, readValue, sums);
            sums.writeOutput(output);
            double[] expected =
                    new CodeReaderCheck(layer, keys, values).attend(queries, 0, checked, readKey, readValue);
            return new ReaderThroughput(
                    reader,
                    opened.description(),
                    context,
                    calls,
                    sorted[calls / 2] / 1e3,
                    sorted[(int) (calls * 0.99)] / 1e3,
                    CodeReaderCheck.difference(expected, output));
        }
    }

    private static List<MemorySegment> encode(
            Arena arena, EncoderBackend encoders, List<Dictionary> dictionaries, CodeBlockLayout layout, long seed) {
        List<MemorySegment> bodies = new ArrayList<>();
        int rows = CodeBlockLayout.TOKENS;
        try (CodeBatch codes = CodeBatch.allocate(rows, layout.budget())) {
            for (int block = 0; block < OWN_BLOCKS; block++) {
                MemorySegment body = arena.allocate(layout.byteSize(), CodeBlockLayout.ALIGNMENT);
                for (int head = 0; head < layout.kvHeads(); head++) {
                    Dictionary dictionary = dictionaries.get(dictionaries.size() == 1 ? 0 : head);
                    MemorySegment vectors = RandomDictionaries.vectors(
                            arena, rows, layout.dHead(), seed + (long) block * layout.kvHeads() + head);
                    try (TopKEncoder encoder = encoders.open(dictionary)) {
                        encoder.encode(vectors, rows, layout.budget(), codes);
                    }
                    layout.pack(codes, 0, 1, head, 0, rows, body);
                }
                bodies.add(body);
            }
        }
        return bodies;
    }
}
