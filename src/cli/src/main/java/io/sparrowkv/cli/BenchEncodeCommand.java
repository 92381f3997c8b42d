package io.sparrowkv.cli;

import io.sparrowkv.encode.EncodeThroughput;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderProvider;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Measures encoders on random vectors. */
@Command(
        name = "encode",
        description = "Measure how many vectors a second each encoder turns into codes.",
        sortOptions = false)
final class BenchEncodeCommand implements Runnable {
    private static final Site SITE = Site.of(0, VectorKind.VALUE);

    @Mixin
    private RandomVectorArguments vectors;

    @Mixin
    private ThreadArguments threads;

    @Option(
            names = "--encoder",
            paramLabel = "NAME",
            description = "Measure this encoder; may be repeated (default: all that can start here).")
    private List<String> encoders = List.of();

    @Option(names = "--budget", paramLabel = "K", defaultValue = "16", description = "Pairs kept (default: 16).")
    private int budget;

    @Option(names = "--rows", paramLabel = "N", defaultValue = "512", description = "Vectors a batch (default: 512).")
    private int rows;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        int dHead = vectors.dHead();
        int latents = vectors.latents();
        long seed = vectors.seed();
        Check.range("--budget", budget, 1, latents);
        Check.range("--rows", rows, 1, 1 << 20);
        List<EncodeThroughput> results = new ArrayList<>();
        try (Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, dHead, latents, seed)) {
            for (String name : chosen()) {
                try (EncoderBackend backend = Encoders.start(name, threads.count())) {
                    results.add(EncodeThroughput.measure(backend, dictionary, budget, rows, vectors.time(), seed + 1));
                }
            }
        }
        output.emit(new Result("bench encode", threads.count(), results));
        for (EncodeThroughput result : results) {
            if (result.disagreement().isPresent()) {
                throw new IllegalStateException("encoder " + result.backend() + " gives wrong codes: "
                        + result.disagreement().get());
            }
        }
    }

    private List<String> chosen() {
        if (!encoders.isEmpty()) {
            return encoders;
        }
        List<String> names = Encoders.providers().stream()
                .filter(provider -> provider.unavailable().isEmpty())
                .map(EncoderProvider::names)
                .flatMap(List::stream)
                .toList();
        if (names.isEmpty()) {
            throw new InvalidInputException("no encoder can start on this machine; 'sparrow info' says why");
        }
        return names;
    }

    /** The measured encoders. */
    record Result(String command, int threads, List<EncodeThroughput> encoders) implements Report {
        @Override
        public void print(PrintWriter out) {
            EncodeThroughput any = encoders.getFirst();
            out.printf(
                    "d_head %d, %d atoms, budget %d, %d vectors a batch, %d threads%n%n",
                    any.dHead(), any.latents(), any.budget(), any.batch(), threads);
            TextTable table = TextTable.columns("encoder", "vectors/s", "GFLOP/s", "batch p50", "p99", "codes")
                    .left(5);
            for (EncodeThroughput result : encoders) {
                table.row(
                        result.backend(),
                        Quantities.count(Math.round(result.vectorsPerSecond())),
                        Quantities.digits(result.gigaflops()),
                        Quantities.digits(result.p50Micros()) + " µs",
                        Quantities.digits(result.p99Micros()) + " µs",
                        result.disagreement().orElse("right"));
            }
            table.print(out);
        }
    }
}
