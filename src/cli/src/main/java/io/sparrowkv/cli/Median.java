package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import java.time.Duration;
import java.util.Arrays;

/** The time of a repeated call, by the median, which a busy neighbour moves least. */
final class Median {
    private static final int FEWEST_CALLS = 5;

    private Median() {}

    /**
     * Measured time as an option gives it.
     *
     * @throws InvalidInputException when it is no time that a person would wait
     */
    static Duration duration(double seconds) {
        if (!(seconds > 0 && seconds <= 3600)) {
            throw new InvalidInputException("--seconds " + seconds + ": must be above 0, up to 3600");
        }
        return Duration.ofNanos((long) (seconds * 1e9));
    }

    /**
     * Calls {@code body} for a third of the time as warm-up, then times it.
     *
     * @param time of the timed part; at least five calls are made however long they take
     * @return median nanoseconds of a call
     */
    static double nanosPerCall(Duration time, Runnable body) {
        long warmUpUntil = System.nanoTime() + time.toNanos() / 3;
        do {
            body.run();
        } while (System.nanoTime() < warmUpUntil);
        long[] times = new long[256];
        int calls = 0;
        long until = System.nanoTime() + time.toNanos();
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
