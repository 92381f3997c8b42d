package io.sparrowkv.cli;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.AttentionThroughput;
import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.CodeReaderCheck;
import io.sparrowkv.attention.CodeReaders;
import io.sparrowkv.attention.ReaderThroughput;
import io.sparrowkv.attention.RotaryEmbedding;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.MemoryNeed;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Measures one layer's attention over codes. */
@Command(
        name = "attention",
        description = "Measure one layer's attention over codes: one token that reads a long context.",
        sortOptions = false)
final class BenchAttentionCommand implements Runnable {
    private static final double ROPE_THETA = 10_000;

    @Option(
            names = "--tokens",
            paramLabel = "N",
            split = ",",
            description = "Contexts to measure (default: 1024,4096,16384).")
    private List<Integer> contexts = List.of(1024, 4096, 16384);

    @Option(names = "--heads", paramLabel = "N", defaultValue = "32", description = "Query heads (default: 32).")
    private int heads;

    @Option(names = "--kv-heads", paramLabel = "N", defaultValue = "8", description = "KV heads (default: 8).")
    private int kvHeads;

    @Option(
            names = "--rope",
            paramLabel = "STAGE",
            defaultValue = "post",
            description = "Dictionaries of keys before (pre) or after (post) the rotary embedding (default: post).")
    private RopeStage rope;

    @Mixin
    private RandomVectorArguments vectors;

    @Mixin
    private BudgetArguments budgets;

    @Option(
            names = "--encoder",
            paramLabel = "NAME",
            defaultValue = Encoders.AUTO,
            description = "Encoder (default: auto).")
    private String encoder;

    @Option(
            names = "--reader",
            paramLabel = "NAME",
            description = {
                "Measure a device's reading of the same codes too, such as tornado or tornado:opencl:0;",
                "it reads codes alone, of keys after RoPE, beside a cache that has a window and sinks."
            })
    private String reader = "";

    @Mixin
    private ThreadArguments threads;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--heads", heads, 1, 1024);
        Check.range("--kv-heads", kvHeads, 1, heads);
        int dHead = vectors.dHead();
        int latents = vectors.latents();
        long seed = vectors.seed();
        if (heads % kvHeads != 0 || dHead % 2 != 0) {
            throw new InvalidInputException("--heads %d must be a multiple of --kv-heads %d, and --d-head %d even"
                    .formatted(heads, kvHeads, dHead));
        }
        contexts.forEach(tokens -> Check.range("--tokens", tokens, 1, 1 << 24));
        CacheOptions options = budgets.options(threads.count());
        AttentionShape shape = AttentionShape.of(1, heads, kvHeads, dHead);
        RotaryEmbedding rotary = RotaryEmbedding.plain(dHead, ROPE_THETA);
        if (!reader.isEmpty()) {
            CodeReaders.require(reader);
            if (rope != RopeStage.POST) {
                throw new InvalidInputException("--reader " + reader + ": reads keys after RoPE; use --rope post");
            }
        }
        List<AttentionThroughput> results = new ArrayList<>();
        List<ReaderThroughput> readers = new ArrayList<>();
        double difference;
        try (EncoderBackend backend = Encoders.start(encoder, threads.count());
                DictionarySet dictionaries = RandomDictionaries.set(1, 0, rope, dHead, latents, latents, seed)) {
            options.validate(shape, dictionaries);
            difference = AttentionCheck.largestDifference(shape, ROPE_THETA, dictionaries, backend, options, seed);
            for (int tokens : contexts) {
                CacheMemory.require(shape, options, dictionaries, tokens);
                results.add(AttentionThroughput.measure(
                        shape,
                        rotary,
                        dictionaries,
                        backend,
                        options,
                        tokens,
                        1,
                        vectors.time(),
                        MemoryNeed.available(),
                        seed));
                if (!reader.isEmpty()) {
                    readers.add(ReaderThroughput.measure(
                            reader, shape, dictionaries, backend, options, tokens, vectors.time(), seed));
                }
            }
        }
        output.emit(new Result(
                "bench attention",
                Provenance.probe(),
                threads.count(),
                heads,
                kvHeads,
                dHead,
                latents,
                rope.label(),
                options,
                difference,
                results,
                readers));
        for (ReaderThroughput found : readers) {
            if (found.largestDifference() > CodeReaderCheck.TOLERANCE) {
                throw new IllegalStateException(reader + " is off by " + Quantities.digits(found.largestDifference())
                        + " from attention's definition: do not trust it");
            }
        }
        if (difference > AttentionCheck.tolerance(options)) {
            throw new IllegalStateException(
                    "attention is off by " + Quantities.digits(difference) + " from its definition: do not trust it");
        }
    }

    /**
     * The measured contexts.
     *
     * @param largestDifference from attention over the decoded vectors, relative to the largest output, over a short sequence
     */
    record Result(
            String command,
            Provenance provenance,
            int threads,
            int heads,
            int kvHeads,
            int dHead,
            int latents,
            String rope,
            CacheOptions options,
            double largestDifference,
            List<AttentionThroughput> contexts,
            List<ReaderThroughput> readers)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "one layer, %d query heads on %d KV heads of %d, %d atoms, keys %s RoPE%n",
                    heads, kvHeads, dHead, latents, rope.equals("pre") ? "before" : "after");
            out.printf(
                    "budgets %s, window %d, sinks %d, %d threads; off by %s from attention over the decoded vectors%n%n",
                    BudgetText.of(options),
                    options.window(),
                    options.sinks(),
                    threads,
                    String.format(Locale.ROOT, "%.1e", largestDifference));
            TextTable table =
                    TextTable.columns("context", "a token p50", "p99", "read in chunks", "cache", "dense fp16");
            for (AttentionThroughput result : contexts) {
                CacheBytes bytes = result.bytes();
                table.row(
                        Quantities.count(result.context()),
                        Quantities.digits(result.p50Micros()) + " µs",
                        Quantities.digits(result.p99Micros()) + " µs",
                        Quantities.rate(result.fillVectorsPerSecond(), "vectors"),
                        Quantities.bytes(bytes.total()),
                        Quantities.bytes(bytes.denseFp16()));
            }
            table.print(out);
            if (!readers.isEmpty()) {
                printReaders(out);
            }
        }

        private void printReaders(PrintWriter out) {
            out.printf(
                    "%ncodes alone, read by %s (%s)%n%n",
                    readers.getFirst().reader(), readers.getFirst().description());
            TextTable table = TextTable.columns("context", "a token p50", "p99", "off by");
            for (ReaderThroughput result : readers) {
                table.row(
                        Quantities.count(result.context()),
                        Quantities.digits(result.p50Micros()) + " µs",
                        Quantities.digits(result.p99Micros()) + " µs",
                        String.format(Locale.ROOT, "%.1e", result.largestDifference()));
            }
            table.print(out);
        }
    }
}
