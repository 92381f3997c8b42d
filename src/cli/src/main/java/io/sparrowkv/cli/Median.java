package io.sparrowkv.cli;

import java.util.Arrays;

/** The time of a repeated call, by the median, which a busy neighbour moves least. */
final class Median {
    private static final int FEWEST_CALLS = 5;

    private Median() {}

    /**
     * Calls {@code body} for a third of the time as warm-up, then times it.
     *
     * @param seconds of the timed part; at least five calls are made however long they take
     * @return median nanoseconds of a call
     */
    static double nanosPerCall(double seconds, Runnable body) {
        long warmUpUntil = System.nanoTime() + (long) (seconds * 1e9 / 3);
        do {
            body.run();
        } while (System.nanoTime() < warmUpUntil);
        long[] times = new long[256];
        int calls = 0;
        long until = System.nanoTime() + (long) (seconds * 1e9);
        while (calls < FEWEST_CALLS || System.nanoTime() < until) {
            long started = System.nanoTime();
            body.run();
            if (calls == times.length) {
                times = Arrays.copyOf(times, 2 * calls);
            }
            times[calls++] = System.nanoTime() - started;
        }
        Arrays.sort(times, 0, calls);
        return (times[(calls - 1) / 2] + times[calls / 2]) / 2.0;
    }
}
