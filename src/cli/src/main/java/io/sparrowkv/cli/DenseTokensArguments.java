package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import picocli.CommandLine.Option;

/** What of a sequence stays dense, whatever the codec. */
final class DenseTokensArguments {
    @Option(names = "--window", paramLabel = "N", description = "Newest tokens kept dense (default: 128).")
    private int window = CacheOptions.DEFAULT_WINDOW;

    @Option(names = "--sinks", paramLabel = "N", description = "First tokens kept dense (default: 4).")
    private int sinks = CacheOptions.DEFAULT_SINKS;

    /** The default options with these; the cache checks them itself. */
    CacheOptions options(int threads) {
        return CacheOptions.defaults().withWindow(window).withSinks(sinks).withThreads(threads);
    }
}
