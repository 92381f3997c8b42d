package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.cli.AttentionMeasurement.Workload;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.sae.RopeStage;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Measures one layer's attention over codes. */
@Command(
        name = "attention",
        description = "Measure one layer's attention over codes: one token that reads a long context.",
        sortOptions = false)
final class BenchAttentionCommand implements Runnable {
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

    @Option(names = "--d-head", paramLabel = "N", defaultValue = "128", description = "Width of a head (default: 128).")
    private int dHead;

    @Option(names = "--latents", paramLabel = "N", defaultValue = "4096", description = "Atoms, M (default: 4096).")
    private int latents;

    @Option(
            names = "--rope",
            paramLabel = "STAGE",
            defaultValue = "post",
            description = "Dictionaries of keys before (pre) or after (post) the rotary embedding (default: post).")
    private RopeStage rope;

    @Mixin
    private BudgetArguments budgets;

    @Option(
            names = "--encoder",
            paramLabel = "NAME",
            defaultValue = Encoders.AUTO,
            description = "Encoder (default: auto).")
    private String encoder;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "1",
            description = "Measured time for each context (default: 1).")
    private double seconds;

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "1",
            description = "Seed of the random numbers (default: 1).")
    private long seed;

    @Mixin
    private ThreadArguments threads;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--heads", heads, 1, 1024);
        Check.range("--kv-heads", kvHeads, 1, heads);
        Check.range("--d-head", dHead, 2, 1024);
        Check.range("--latents", latents, 1, 1 << 16);
        if (heads % kvHeads != 0 || dHead % 2 != 0) {
            throw new InvalidInputException("--heads %d must be a multiple of --kv-heads %d, and --d-head %d even"
                    .formatted(heads, kvHeads, dHead));
        }
        contexts.forEach(tokens -> Check.range("--tokens", tokens, 1, 1 << 24));
        CacheOptions options = budgets.options(threads.count());
        List<AttentionMeasurement> results = new ArrayList<>();
        try (EncoderBackend backend = Encoders.start(encoder, threads.count())) {
            for (int tokens : contexts) {
                Workload work = new Workload(heads, kvHeads, dHead, latents, rope, tokens, options, seed);
                results.add(AttentionMeasurement.of(backend, work, Median.duration(seconds)));
            }
        }
        output.emit(new Result(
                "bench attention", threads.count(), heads, kvHeads, dHead, latents, rope.label(), options, results));
        for (AttentionMeasurement result : results) {
            if (!result.agrees()) {
                throw new IllegalStateException("attention over " + result.tokens() + " tokens is off by "
                        + Quantities.digits(result.largestDifference()) + " from its definition: do not trust it");
            }
        }
    }

    /** The measured contexts. */
    record Result(
            String command,
            int threads,
            int heads,
            int kvHeads,
            int dHead,
            int latents,
            String rope,
            CacheOptions options,
            List<AttentionMeasurement> contexts)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "one layer, %d query heads on %d KV heads of %d, %d atoms, keys %s RoPE, budgets %d/%d, window %d, sinks %d, %d threads%n%n",
                    heads,
                    kvHeads,
                    dHead,
                    latents,
                    rope.equals("pre") ? "before" : "after",
                    options.read().key(),
                    options.read().value(),
                    options.window(),
                    options.sinks(),
                    threads);
            TextTable table = TextTable.columns(
                    "context", "a token's attention", "read in chunks", "cache", "dense fp16", "difference");
            for (AttentionMeasurement result : contexts) {
                CacheBytes bytes = result.bytes();
                table.row(
                        Quantities.count(result.tokens()),
                        Quantities.digits(result.queryMicros()) + " µs",
                        Quantities.rate(result.fillTokensPerSecond(), "tokens"),
                        Quantities.bytes(bytes.total()),
                        Quantities.bytes(bytes.denseFp16()),
                        "%.1e".formatted(result.largestDifference()));
            }
            table.print(out);
        }
    }
}
