package io.sparrowkv.tornado;

import io.sparrowkv.io.InvalidInputException;
import java.time.Duration;

/**
 * How a device is fed. The defaults suit what was measured, which is CPUs; on another device the system properties
 * {@value #LANES_PROPERTY} and {@value #ROWS_PROPERTY} try what suits it, with {@code bench encode} to tell.
 *
 * @param lanes chunks of a batch under way at a time, each with buffers and a copy of the weights of its own
 * @param chunkRows rows of a chunk, or 0 for as many as the kernels say that the device's cache holds
 * @param patience how long the device may take for one chunk, or to compile, before it counts as lost
 */
record Tuning(int lanes, int chunkRows, Duration patience) {
    static final String LANES_PROPERTY = "sparrow.tornado.lanes";
    static final String ROWS_PROPERTY = "sparrow.tornado.chunk-rows";

    /** Two: one is copied while the other is computed. A chunk takes a device milliseconds, and its compiler seconds. */
    static final Tuning DEFAULT = new Tuning(2, 0, Duration.ofSeconds(60));

    private static final int MOST_LANES = 16;
    private static final int MOST_ROWS = 1 << 15;

    /**
     * The defaults, but for what the system properties say.
     *
     * @throws InvalidInputException when one of them is no sensible number
     */
    static Tuning ofThisProcess() {
        return new Tuning(
                property(LANES_PROPERTY, DEFAULT.lanes, 1, MOST_LANES),
                property(ROWS_PROPERTY, DEFAULT.chunkRows, 0, MOST_ROWS),
                DEFAULT.patience);
    }

    private static int property(String name, int otherwise, int least, int most) {
        String text = System.getProperty(name, "");
        if (text.isEmpty()) {
            return otherwise;
        }
        try {
            int value = Integer.parseInt(text);
            if (value >= least && value <= most) {
                return value;
            }
        } catch (NumberFormatException e) {
            // Said below.
        }
        throw new InvalidInputException("-D%s=%s: must be a number from %d to %d".formatted(name, text, least, most));
    }
}
