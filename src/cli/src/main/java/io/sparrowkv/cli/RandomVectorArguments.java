package io.sparrowkv.cli;

import java.time.Duration;
import picocli.CommandLine.Option;

/** What a benchmark on random vectors is made of, and how long it measures. */
final class RandomVectorArguments {
    private static final int MOST_LATENTS = 1 << 20;
    private static final int MOST_WIDTH = 4096;

    @Option(
            names = "--d-head",
            paramLabel = "N",
            defaultValue = "128",
            description = "Width of a vector (default: 128).")
    private int dHead;

    @Option(names = "--latents", paramLabel = "N", defaultValue = "4096", description = "Atoms, M (default: 4096).")
    private int latents;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "2",
            description = "Measured time for each line of the result (default: 2).")
    private double seconds;

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "1",
            description = "Seed of the random numbers (default: 1).")
    private long seed;

    /** Width of a vector. */
    int dHead() {
        Check.range("--d-head", dHead, 1, MOST_WIDTH);
        return dHead;
    }

    /** Atoms of a dictionary. */
    int latents() {
        Check.range("--latents", latents, 1, MOST_LATENTS);
        return latents;
    }

    /** Measured time for each line of the result. */
    Duration time() {
        return Check.seconds(seconds);
    }

    /** Seed of the random numbers. */
    long seed() {
        return seed;
    }
}
