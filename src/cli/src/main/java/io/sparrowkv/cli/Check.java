package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import java.time.Duration;

/** Checks of option values that name the option, the value and what is allowed. */
final class Check {
    private Check() {}

    /**
     * @param option as the user wrote it, such as {@code --rows}
     * @param from least allowed value
     * @param to most allowed value, inclusive
     * @return {@code value}
     * @throws InvalidInputException when it is outside
     */
    static int range(String option, int value, int from, int to) {
        if (value < from || value > to) {
            String allowed = to == Integer.MAX_VALUE ? "at least " + from : "from " + from + " to " + to;
            throw new InvalidInputException(option + " " + value + ": must be " + allowed);
        }
        return value;
    }

    /**
     * Measured time as {@code --seconds} gives it.
     *
     * @throws InvalidInputException when it is no time that a person would wait
     */
    static Duration seconds(double seconds) {
        if (!(seconds > 0 && seconds <= 3600)) {
            throw new InvalidInputException("--seconds " + seconds + ": must be above 0, up to 3600");
        }
        return Duration.ofNanos((long) (seconds * 1e9));
    }
}
