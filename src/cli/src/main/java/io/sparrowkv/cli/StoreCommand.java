package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.sae.DictionaryFiles;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.store.StoreStatistics;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.StoreExport;
import io.sparrowkv.store.chronicle.StoreImport;
import io.sparrowkv.store.chronicle.StoreInspection;
import io.sparrowkv.store.chronicle.StoreManifest;
import io.sparrowkv.store.chronicle.StoreProfile;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Looks after stores of codes. */
@Command(
        name = "store",
        description = "Make, look into, check, copy and empty a store of codes that outlives its process.",
        synopsisSubcommandLabel = "COMMAND")
final class StoreCommand {
    /** What is done with an open store. */
    private interface Work {
        Report on(ChronicleBlockStore store) throws IOException;
    }

    @Command(name = "create", description = "Make an empty store for a model, its dictionaries and a way of coding.")
    void create(
            @Parameters(index = "0", paramLabel = "DIR", description = "Folder of the store.") Path folder,
            @Parameters(
                            index = "1",
                            arity = "0..1",
                            paramLabel = "MODEL",
                            description = "Hugging Face folder of the model (default: the bundled one).")
                    Optional<Path> model,
            @Option(
                            names = "--capacity",
                            paramLabel = "BYTES",
                            defaultValue = "1G",
                            converter = ByteSize.Converter.class,
                            description = "Most bytes of its files (default: 1G).")
                    ByteSize capacity,
            @Mixin DictionaryArguments dictionaries,
            @Mixin BudgetArguments budgets,
            @Mixin ProfileArguments choice,
            @Mixin OutputArguments output) {
        Path source = model.or(Home::bundledModel).orElseThrow(Home::noBundledModel);
        StoreProfile profile;
        try (CausalLm lm = CausalLm.load(source);
                DictionarySet set = DictionaryFiles.read(
                        dictionaries.folder(source),
                        source.toString(),
                        lm.fingerprint(),
                        lm.config().dHead())) {
            var options = choice.options(budgets, dictionaries, lm, set);
            options.validate(lm.config().attentionShape(), set);
            profile = options.storeProfile(lm.config().attentionShape(), lm.fingerprint(), set);
        }
        run(folder, output, () -> ChronicleBlockStore.create(folder, profile, capacity.bytes(), Sync.CLOSE), Stat::of);
    }

    @Command(name = "stat", description = "Show what a store was made for and what it holds.")
    void stat(
            @Parameters(paramLabel = "DIR", description = "Folder of the store.") Path folder,
            @Mixin OutputArguments output) {
        run(folder, output, () -> ChronicleBlockStore.open(folder, Sync.CLOSE), Stat::of);
    }

    @Command(name = "ls", description = "List the sequences of a store, the most recently used first.")
    void ls(
            @Parameters(paramLabel = "DIR", description = "Folder of the store.") Path folder,
            @Mixin OutputArguments output) {
        run(
                folder,
                output,
                () -> ChronicleBlockStore.open(folder, Sync.CLOSE),
                store -> new Listing("store ls", StoreInspection.sequences(store)));
    }

    @Command(name = "verify", description = "Check every checksum of a store and drop what is damaged.")
    void verify(
            @Parameters(paramLabel = "DIR", description = "Folder of the store.") Path folder,
            @Mixin OutputArguments output) {
        run(folder, output, () -> ChronicleBlockStore.open(folder, Sync.CLOSE), store -> {
            long before = store.counters().damaged();
            StoreInspection.Verification found = StoreInspection.verify(store);
            return new Checked(
                    "store verify", found.prefixes(), found.blocks(), found.dense(), before + found.damaged());
        });
    }

    @Command(name = "evict", description = "Drop the least recently used blocks of tokens.")
    void evict(
            @Parameters(paramLabel = "DIR", description = "Folder of the store.") Path folder,
            @Option(
                            names = "--blocks",
                            paramLabel = "N",
                            description = "How many blocks of tokens to drop (default: all that nobody uses).")
                    Optional<Long> blocks,
            @Mixin OutputArguments output) {
        blocks.filter(count -> count < 1).ifPresent(count -> {
            throw new InvalidInputException("--blocks " + count + ": must be at least 1");
        });
        run(folder, output, () -> ChronicleBlockStore.open(folder, Sync.CLOSE), store -> {
            store.evict(blocks.orElse(Long.MAX_VALUE));
            return new Evicted(
                    "store evict",
                    store.counters().evictedPrefixes(),
                    store.counters().evictedBytes());
        });
    }

    @Command(name = "export", description = "Write a store's contents as Arrow IPC (arrow-schemas/store-export.md).")
    void export(
            @Parameters(index = "0", paramLabel = "DIR", description = "Folder of the store.") Path folder,
            @Parameters(index = "1", paramLabel = "FILE", description = "Where to write.") Path file,
            @Option(
                            names = "--form",
                            paramLabel = "FORM",
                            defaultValue = "file",
                            description = "Arrow's random-access file or its stream (default: file).")
                    StoreExport.Form form,
            @Option(
                            names = "--compression",
                            paramLabel = "NAME",
                            defaultValue = "none",
                            description = "none, lz4 or zstd (default: none).")
                    StoreExport.Compression compression,
            @Mixin OutputArguments output) {
        OutputPaths.requireWritable(file);
        run(
                folder,
                output,
                () -> ChronicleBlockStore.open(folder, Sync.CLOSE),
                store -> new Exported(
                        "store export", file.toString(), StoreExport.write(store, file, form, compression)));
    }

    @Command(name = "import", description = "Add what 'store export' wrote, from a store made for the same codes.")
    void addFrom(
            @Parameters(index = "0", paramLabel = "DIR", description = "Folder of the store.") Path folder,
            @Parameters(index = "1", paramLabel = "FILE", description = "The file or stream.") Path file,
            @Mixin OutputArguments output) {
        run(folder, output, () -> ChronicleBlockStore.open(folder, Sync.CLOSE), store -> {
            StoreImport.Result read = StoreImport.read(store, file);
            return new Imported(
                    "store import", file.toString(), read, store.counters().evictedPrefixes());
        });
    }

    private interface Opening {
        ChronicleBlockStore open() throws IOException;
    }

    private static void run(Path folder, OutputArguments output, Opening opening, Work work) {
        try (ChronicleBlockStore store = opening.open()) {
            output.emit(work.on(store));
        } catch (IOException e) {
            throw new InvalidInputException(folder + ": cannot be used (" + StoreFolder.reason(e) + ")", e);
        }
    }

    /** What a store was made for and holds. */
    record Stat(String command, StoreManifest manifest, long sequences, long blocks, long usedBytes, long fileBytes)
            implements Report {
        static Stat of(ChronicleBlockStore store) throws IOException {
            StoreStatistics statistics = store.statistics();
            return new Stat(
                    "store stat",
                    store.manifest(),
                    StoreInspection.sequences(store).size(),
                    statistics.blocks(),
                    statistics.bytes(),
                    store.fileBytes());
        }

        @Override
        public void print(PrintWriter out) {
            StoreProfile profile = manifest.profile();
            out.printf("model %s, dictionaries %s%n", profile.model(), profile.dictionaries());
            out.printf(
                    "%d layers, %d KV heads of %d; window %d, sinks %d; pairs stored of keys %s, of values %s%n",
                    profile.layers(),
                    profile.kvHeads(),
                    profile.dHead(),
                    profile.window(),
                    profile.sinks(),
                    profile.storedKey(),
                    profile.storedValue());
            out.printf(
                    "%s sequences, %s blocks, %s used of %s (files %s); room for %s tokens%n",
                    Quantities.count(sequences),
                    Quantities.count(blocks),
                    Quantities.bytes(usedBytes),
                    Quantities.bytes(manifest.capacity()),
                    Quantities.bytes(fileBytes),
                    Quantities.count(manifest.tokens()));
        }
    }

    /** The sequences of a store. */
    record Listing(String command, List<StoreInspection.Sequence> sequences) implements Report {
        private static final int SHOWN_TOKENS = 8;

        @Override
        public void print(PrintWriter out) {
            TextTable table = TextTable.columns("sequence", "tokens", "last used", "resumable", "first token ids")
                    .left(2, 3, 4);
            for (StoreInspection.Sequence sequence : sequences) {
                table.row(
                        HexFormat.of().toHexDigits(sequence.prefix()),
                        Quantities.count(sequence.tokens()),
                        Instant.ofEpochMilli(sequence.usedMillis()).truncatedTo(ChronoUnit.SECONDS),
                        sequence.resumable() ? "yes" : "no",
                        sequence.firstTokens().stream().limit(SHOWN_TOKENS).toList());
            }
            table.print(out);
        }
    }

    /** What a check found. */
    record Checked(String command, long prefixes, long blocks, long denseParts, long damaged) implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "%s prefixes, %s blocks and %s dense parts are right; %s were damaged and dropped%n",
                    Quantities.count(prefixes),
                    Quantities.count(blocks),
                    Quantities.count(denseParts),
                    Quantities.count(damaged));
        }
    }

    /** What was written. */
    record Exported(String command, String file, StoreExport.Result written) implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "%s: %s blocks of tokens (%s code blocks, %s dense parts), %s%n",
                    file,
                    Quantities.count(written.prefixes()),
                    Quantities.count(written.blocks()),
                    Quantities.count(written.dense()),
                    Quantities.bytes(written.bytes()));
        }
    }

    /** What was added. */
    record Imported(String command, String file, StoreImport.Result read, long evictedBlocksOfTokens)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "%s: %s blocks of tokens (%s code blocks, %s dense parts) are in the store; %s found no room, %s were evicted%n",
                    file,
                    Quantities.count(read.prefixes()),
                    Quantities.count(read.blocks()),
                    Quantities.count(read.dense()),
                    Quantities.count(read.leftOut()),
                    Quantities.count(evictedBlocksOfTokens));
        }
    }

    /** What was dropped. */
    record Evicted(String command, long blocksOfTokens, long bytes) implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf("dropped %s blocks of tokens, %s%n", Quantities.count(blocksOfTokens), Quantities.bytes(bytes));
        }
    }
}
