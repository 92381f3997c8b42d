package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;

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
}
