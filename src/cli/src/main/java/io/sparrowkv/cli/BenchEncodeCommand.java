package io.sparrowkv.cli;

import io.sparrowkv.cli.EncodeMeasurement.Workload;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderProvider;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
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
    @Mixin
    private ThreadArguments threads;

    @Option(
            names = "--encoder",
            paramLabel = "NAME",
            description = "Measure this encoder; may be repeated (default: all that can start here).")
    private List<String> encoders = List.of();

    @Option(
            names = "--d-head",
            paramLabel = "N",
            defaultValue = "128",
            description = "Width of a vector (default: 128).")
    private int dHead;

    @Option(names = "--latents", paramLabel = "N", defaultValue = "4096", description = "Atoms, M (default: 4096).")
    private int latents;

    @Option(names = "--budget", paramLabel = "K", defaultValue = "16", description = "Pairs kept (default: 16).")
    private int budget;

    @Option(names = "--rows", paramLabel = "N", defaultValue = "512", description = "Vectors a batch (default: 512).")
    private int rows;

    @Option(
            names = "--seconds",
            paramLabel = "S",
            defaultValue = "2",
            description = "Measured time for each encoder (default: 2).")
    private double seconds;

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "1",
            description = "Seed of the random numbers (default: 1).")
    private long seed;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--d-head", dHead, 1, 4096);
        Check.range("--latents", latents, 1, 1 << 20);
        Check.range("--budget", budget, 1, latents);
        Check.range("--rows", rows, 1, 1 << 20);
        Workload work = new Workload(dHead, latents, budget, rows, seed);
        List<EncodeMeasurement> results = new ArrayList<>();
        for (String name : chosen()) {
            try (EncoderBackend backend = Encoders.start(name, threads.count())) {
                results.add(EncodeMeasurement.of(backend, work, seconds));
            }
        }
        output.emit(new Result("bench encode", threads.count(), work, results));
        for (EncodeMeasurement result : results) {
            if (!result.agrees()) {
                throw new IllegalStateException("encoder " + result.encoder() + " differs from the oracle by "
                        + Quantities.digits(result.largestDifference()) + ": do not trust its codes");
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
    record Result(String command, int threads, Workload workload, List<EncodeMeasurement> encoders) implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "d_head %d, %d atoms, budget %d, %d vectors a batch, %d threads, medians%n%n",
                    workload.dHead(), workload.latents(), workload.budget(), workload.rows(), threads);
            TextTable table =
                    TextTable.columns("encoder", "vectors/s", "a batch", "GFLOP/s", "difference from the oracle");
            for (EncodeMeasurement result : encoders) {
                table.row(
                        result.encoder(),
                        Quantities.count(Math.round(result.vectorsPerSecond())),
                        Quantities.digits(result.batchMillis()) + " ms",
                        Quantities.digits(result.gigaflops()),
                        Quantities.digits(result.largestDifference()));
            }
            table.print(out);
        }
    }
}
