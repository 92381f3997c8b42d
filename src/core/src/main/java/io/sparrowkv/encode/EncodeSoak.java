package io.sparrowkv.encode;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.LongSupplier;
import java.util.function.ToLongFunction;

/**
 * A backend under a long stream of batches of all sizes, for all sites of a model in no order: whether its memory grows, and whether the
 * codes stay right.
 *
 * @param backend name of the backend
 * @param description what it ran on
 * @param seconds how long it ran
 * @param batches batches encoded
 * @param vectors vectors encoded
 * @param checkedVectors vectors whose codes were checked
 * @param samples memory over time
 * @param grownBytes how much more memory the process held over the last fifth of the time than over the second, by their medians
 * @param grownHeapBytes the same of what a full collection leaves on the JVM's heap
 * @param disagreement what {@link CodeCheck} found wrong with a code first, or why they are not the backend's own; empty when all is right
 */
public record EncodeSoak(
        String backend,
        String description,
        double seconds,
        long batches,
        long vectors,
        long checkedVectors,
        List<Sample> samples,
        long grownBytes,
        long grownHeapBytes,
        Optional<String> disagreement) {
    private static final int SAMPLES = 50;
    private static final int MOST_ROWS = 8192;
    private static final int CHECK_EVERY = 8;

    /**
     * Memory at one time.
     *
     * @param seconds since the beginning
     * @param residentBytes what the process holds
     * @param heapBytes used on the JVM's heap after a full collection
     */
    public record Sample(double seconds, long residentBytes, long heapBytes) {}

    /**
     * Runs.
     *
     * @param set dictionaries of the sites
     * @param time how long
     * @param residentBytes tells what the process holds
     * @param seed of vectors and sizes
     */
    public static EncodeSoak run(
            EncoderBackend backend,
            DictionarySet set,
            int budget,
            Duration time,
            LongSupplier residentBytes,
            long seed) {
        List<Dictionary> dictionaries = List.copyOf(set.bySite().values());
        int dHead = dictionaries.getFirst().dHead();
        List<TopKEncoder> encoders = new ArrayList<>();
        List<Sample> samples = new ArrayList<>();
        Optional<String> disagreement = Optional.empty();
        Random random = new Random(seed);
        long batches = 0;
        long encoded = 0;
        long checked = 0;
        try (Arena arena = Arena.ofShared();
                CodeBatch codes = CodeBatch.allocate(MOST_ROWS, budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, MOST_ROWS, dHead, seed);
            dictionaries.forEach(dictionary -> encoders.add(backend.open(dictionary)));
            List<CodeCheck> checks = dictionaries.stream().map(CodeCheck::new).toList();
            long start = System.nanoTime();
            for (long now = start; now - start < time.toNanos(); now = System.nanoTime()) {
                int site = random.nextInt(encoders.size());
                // As often few vectors as many.
                int rows = 1 + random.nextInt(1 << random.nextInt(1, Integer.numberOfTrailingZeros(MOST_ROWS) + 1));
                encoders.get(site).encode(vectors, rows, budget, codes);
                encoded += rows;
                if (batches++ % CHECK_EVERY == 0) {
                    checked++;
                    Optional<String> found = checks.get(site).disagreement(vectors, codes, random.nextInt(rows));
                    disagreement = disagreement.isPresent() ? disagreement : found;
                }
                if (now - start >= time.toNanos() / SAMPLES * samples.size()) {
                    samples.add(sample((now - start) / 1e9, residentBytes));
                }
            }
            double seconds = (System.nanoTime() - start) / 1e9;
            return new EncodeSoak(
                    backend.name(),
                    backend.description(),
                    seconds,
                    batches,
                    encoded,
                    checked,
                    List.copyOf(samples),
                    grown(samples, Sample::residentBytes),
                    grown(samples, Sample::heapBytes),
                    disagreement.or(backend::lost));
        } finally {
            encoders.forEach(TopKEncoder::close);
        }
    }

    private static Sample sample(double seconds, LongSupplier residentBytes) {
        System.gc();
        return new Sample(
                seconds,
                residentBytes.getAsLong(),
                ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed());
    }

    private static long grown(List<Sample> samples, ToLongFunction<Sample> bytes) {
        int fifth = samples.size() / 5;
        return median(samples.subList(samples.size() - Math.max(1, fifth), samples.size()), bytes)
                - median(samples.subList(fifth, Math.max(fifth + 1, 2 * fifth)), bytes);
    }

    private static long median(List<Sample> samples, ToLongFunction<Sample> bytes) {
        return samples.stream().mapToLong(bytes).sorted().toArray()[samples.size() / 2];
    }
}
