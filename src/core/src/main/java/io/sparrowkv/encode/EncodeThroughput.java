package io.sparrowkv.encode;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * How fast a backend encodes with one dictionary, measured on random vectors, with the codes checked in the same run.
 *
 * @param backend name of the backend
 * @param description what it ran on
 * @param dHead width of a vector
 * @param latents number of atoms, M
 * @param budget pairs kept, K
 * @param batch vectors a call
 * @param calls calls measured
 * @param vectorsPerSecond at the median of the rounds' rates
 * @param gigaflops billions of floating-point operations a second of the product alone, 2 dHead latents a vector
 * @param p50Micros median time of a call in µs
 * @param p99Micros 99th percentile of the time of a call in µs
 * @param device where the time of the median of a few calls went, when a device tells
 * @param disagreement what {@link CodeCheck} found wrong with the codes, or why they are not the backend's own; empty when all is right
 */
public record EncodeThroughput(
        String backend,
        String description,
        int dHead,
        int latents,
        int budget,
        int batch,
        int calls,
        double vectorsPerSecond,
        double gigaflops,
        double p50Micros,
        double p99Micros,
        Optional<DeviceTimes> device,
        Optional<String> disagreement) {
    private static final int ROUNDS = 5;
    private static final int CHECKED_ROWS = 8;

    /**
     * Measures.
     *
     * @param budget pairs kept, at most the dictionary's latents
     * @param batch vectors a call, at least 1
     * @param time how long to measure; half as long is spent before to warm up
     * @param seed of the random vectors
     */
    public static EncodeThroughput measure(
            EncoderBackend backend, Dictionary dictionary, int budget, int batch, Duration time, long seed) {
        if (batch < 1) {
            throw new IllegalArgumentException("batch " + batch);
        }
        try (Arena arena = Arena.ofShared();
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(batch, budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, batch, dictionary.dHead(), seed);
            Runnable call = () -> encoder.encode(vectors, batch, budget, codes);
            repeat(call, time.toNanos() / 2);
            long[][] rounds = new long[ROUNDS][];
            for (int i = 0; i < ROUNDS; i++) {
                rounds[i] = repeat(call, time.toNanos() / ROUNDS);
            }
            double[] rates = Arrays.stream(rounds)
                    .mapToDouble(round ->
                            batch * 1e9 * round.length / Arrays.stream(round).sum())
                    .sorted()
                    .toArray();
            long[] nanos =
                    Arrays.stream(rounds).flatMapToLong(Arrays::stream).sorted().toArray();
            double rate = rates[ROUNDS / 2];
            return new EncodeThroughput(
                    backend.name(),
                    backend.description(),
                    dictionary.dHead(),
                    dictionary.latents(),
                    budget,
                    batch,
                    nanos.length,
                    rate,
                    rate * 2 * dictionary.dHead() * dictionary.latents() / 1e9,
                    nanos[nanos.length / 2] / 1e3,
                    nanos[(int) (nanos.length * 0.99)] / 1e3,
                    profile(backend, call),
                    check(dictionary, vectors, codes).or(backend::lost));
        }
    }

    /** Calls for the given time, at least once, and returns each call's time in ns. */
    private static long[] repeat(Runnable call, long nanos) {
        long[] times = new long[64];
        int calls = 0;
        long start = System.nanoTime();
        for (long now = start; calls == 0 || now - start < nanos; ) {
            call.run();
            long end = System.nanoTime();
            if (calls == times.length) {
                times = Arrays.copyOf(times, 2 * calls);
            }
            times[calls++] = end - now;
            now = end;
        }
        return Arrays.copyOf(times, calls);
    }

    private static Optional<DeviceTimes> profile(EncoderBackend backend, Runnable call) {
        List<DeviceTimes> times = new ArrayList<>();
        for (int i = 0; i < ROUNDS; i++) {
            backend.profile(call).ifPresent(times::add);
        }
        times.sort(Comparator.comparingDouble(DeviceTimes::kernelMicros));
        return times.isEmpty() ? Optional.empty() : Optional.of(times.get(times.size() / 2));
    }

    private static Optional<String> check(Dictionary dictionary, MemorySegment vectors, CodeBatch codes) {
        CodeCheck check = new CodeCheck(dictionary);
        int step = Math.max(1, codes.rows() / CHECKED_ROWS);
        for (int row = 0; row < codes.rows(); row += step) {
            Optional<String> found = check.disagreement(vectors, codes, row);
            if (found.isPresent()) {
                return found;
            }
        }
        return Optional.empty();
    }
}
