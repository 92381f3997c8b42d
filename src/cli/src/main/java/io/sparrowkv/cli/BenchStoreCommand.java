package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.FolderTree;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.store.chronicle.RandomBlocks;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Measures a store on disk. */
@Command(
        name = "store",
        description =
                "Measure a store on disk: filling, opening and viewing it with random codes, attention that reads from"
                        + " it, and the first token after a prompt it knows.",
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
            names = "--prompt-tokens",
            paramLabel = "N",
            defaultValue = "1500",
            description = "Prompt whose first token is waited for (default: 1500).")
    private int promptTokens;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "3",
            description = "Measured time of each reading (default: 3).")
    private double seconds;

    @Mixin
    private ModelArguments model;

    @Mixin
    private DictionaryArguments dictionaries;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--tokens", tokens, CodeBlockLayout.TOKENS, 1 << 24);
        Check.range("--scan-tokens", scanTokens, 1024, 1 << 20);
        Check.range("--layers", layers, 1, 256);
        Check.range("--kv-heads", kvHeads, 1, 256);
        Check.range("--prompt-tokens", promptTokens, 2 * CodeBlockLayout.TOKENS, 1 << 20);
        Duration time = Check.seconds(seconds);
        int threads = dictionaries.threads();
        Libtorch.useThreads(threads);
        try {
            Path folder = directory.isPresent()
                    ? Files.createTempDirectory(Files.createDirectories(directory.get()), "sparrow-store")
                    : Files.createTempDirectory("sparrow-store");
            try (CausalLm lm = CausalLm.load(model.folder());
                    SparseCaches caches = SparseCaches.open(lm, dictionaries)) {
                CacheOptions options = CacheOptions.defaults().withThreads(threads);
                StoreFirstToken firstToken =
                        StoreFirstToken.of(lm, caches, options, folder.resolve("prompts"), promptTokens, time);
                StoreMeasurement measured =
                        StoreMeasurement.of(folder.resolve("blocks"), layers, kvHeads, tokens, time);
                FolderTree.delete(folder.resolve("blocks"));
                StoreScan scan =
                        StoreScan.of(caches.encoders(), folder.resolve("scan"), kvHeads, scanTokens, threads, time);
                output.emit(new Result(
                        "bench store",
                        threads,
                        layers,
                        kvHeads,
                        tokens,
                        measured,
                        scanTokens,
                        scan,
                        lm.folder().toString(),
                        firstToken));
            } finally {
                FolderTree.delete(folder);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The measured stores. */
    record Result(
            String command,
            int threads,
            int layers,
            int kvHeads,
            int tokens,
            StoreMeasurement store,
            int scanTokens,
            StoreScan scan,
            String model,
            StoreFirstToken firstToken)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "%d layers, %d KV heads of %d, budgets %d/%d: %s tokens, %s of codes%n%n",
                    layers,
                    kvHeads,
                    RandomBlocks.D_HEAD,
                    RandomBlocks.KEY_BUDGET,
                    RandomBlocks.VALUE_BUDGET,
                    Quantities.count(tokens),
                    Quantities.bytes(store.codeBytes()));
            TextTable table = TextTable.columns("", "measured").left(0);
            table.row(
                    "put into fresh files, with checksum", Quantities.digits(store.putMegabytesPerSecond()) + " MB/s");
            table.row("close, all on the disk", time(store.closeSeconds()));
            table.row("open", time(store.openSeconds()));
            table.row("first view, checked", Quantities.digits(store.checkMegabytesPerSecond()) + " MB/s");
            table.row("view", Quantities.rate(store.viewsPerSecond(), "blocks"));
            table.row("file bytes for each byte of codes", Quantities.digits(store.overhead()));
            table.row(
                    "a token's attention over %s tokens, in process".formatted(Quantities.count(scanTokens)),
                    Quantities.digits(scan.arrowMicros()) + " µs");
            table.row("the same, from the store", Quantities.digits(scan.chronicleMicros()) + " µs");
            table.row(
                    "first token after %s, all read".formatted(Quantities.count(firstToken.promptTokens())),
                    time(firstToken.without()));
            table.row(
                    "the same, %s from the store".formatted(Quantities.count(firstToken.reusedTokens())),
                    time(firstToken.with()));
            table.print(out);
        }

        private static String time(double seconds) {
            return Quantities.time(Duration.ofNanos((long) (1e9 * seconds)));
        }
    }
}
