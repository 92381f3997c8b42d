package io.sparrowkv.cli;

import picocli.CommandLine.Option;

/** How many threads the work may use. */
public final class ThreadArguments {
    @Option(
            names = "--threads",
            paramLabel = "N",
            description = "Threads of each kind of work (default: the machine's cores).")
    private Integer threads;

    /** The asked number of threads, or one for each core. */
    public int count() {
        return threads == null
                ? Runtime.getRuntime().availableProcessors()
                : Check.range("--threads", threads, 1, 1024);
    }
}
