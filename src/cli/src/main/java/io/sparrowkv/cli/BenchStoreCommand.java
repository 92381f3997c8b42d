package io.sparrowkv.cli;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Measures a store on disk. */
@Command(
        name = "store",
        description = "Measure a store on disk: putting, viewing and opening, and attention that reads from it.",
        sortOptions = false)
final class BenchStoreCommand implements Runnable {
    @Option(
            names = "--dir",
            paramLabel = "DIR",
            description = "Where the measured stores are made, and removed (default: the folder for temporary files).")
    private Optional<Path> directory = Optional.empty();

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "8192", description = "Tokens put (default: 8192).")
    private int tokens;

    @Option(
            names = "--scan-tokens",
            paramLabel = "N",
            defaultValue = "8192",
            description = "Context that attention reads (default: 8192).")
    private int scanTokens;

    @Option(names = "--layers", paramLabel = "N", defaultValue = "32", description = "Layers (default: 32).")
    private int layers;

    @Option(names = "--kv-heads", paramLabel = "N", defaultValue = "8", description = "KV heads (default: 8).")
    private int kvHeads;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "1",
            description = "Measured time of each reading (default: 1).")
    private double seconds;

    @Mixin
    private ThreadArguments threads;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--tokens", tokens, CodeBlockLayout.TOKENS, 1 << 24);
        Check.range("--scan-tokens", scanTokens, 1024, 1 << 20);
        Check.range("--layers", layers, 1, 256);
        Check.range("--kv-heads", kvHeads, 1, 256);
        Duration time = Check.seconds(seconds);
        try {
            Path folder = directory.isPresent()
                    ? Files.createTempDirectory(Files.createDirectories(directory.get()), "sparrow-store")
                    : Files.createTempDirectory("sparrow-store");
            try (EncoderBackend encoders = Encoders.start(Encoders.AUTO, threads.count())) {
                output.emit(new Result(
                        "bench store",
                        threads.count(),
                        layers,
                        kvHeads,
                        tokens,
                        scanTokens,
                        StoreMeasurement.of(folder.resolve("blocks"), layers, kvHeads, tokens, time),
                        StoreScan.of(encoders, folder.resolve("scan"), kvHeads, scanTokens, threads.count(), time)));
            } finally {
                delete(folder);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    /** The measured store. */
    record Result(
            String command,
            int threads,
            int layers,
            int kvHeads,
            int tokens,
            int scanTokens,
            StoreMeasurement store,
            StoreScan scan)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "%d layers, %d KV heads of %d, budgets %d/%d: %s tokens, %s of codes%n%n",
                    layers,
                    kvHeads,
                    StoreMeasurement.D_HEAD,
                    StoreMeasurement.KEY_BUDGET,
                    StoreMeasurement.VALUE_BUDGET,
                    Quantities.count(tokens),
                    Quantities.bytes(store.codeBytes()));
            TextTable table = TextTable.columns("", "measured").left(0);
            table.row("put, with checksum", Quantities.digits(store.putMegabytesPerSecond()) + " MB/s");
            table.row("first view, checked", Quantities.digits(store.checkMegabytesPerSecond()) + " MB/s");
            table.row("view", Quantities.rate(store.viewsPerSecond(), "blocks"));
            table.row("open", Quantities.time(Duration.ofNanos((long) (1e9 * store.openSeconds()))));
            table.row("file bytes for each byte of codes it has room for", Quantities.digits(store.overhead()));
            table.row(
                    "a token's attention over %s tokens, in process".formatted(Quantities.count(scanTokens)),
                    Quantities.digits(scan.arrowMicros()) + " µs");
            table.row("the same, from the store", Quantities.digits(scan.chronicleMicros()) + " µs");
            table.print(out);
        }
    }
}
