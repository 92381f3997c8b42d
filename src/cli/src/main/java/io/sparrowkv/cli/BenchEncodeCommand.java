package io.sparrowkv.cli;

import com.fasterxml.jackson.annotation.JsonUnwrapped;
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
import java.util.Optional;
import java.util.OptionalDouble;
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

    @Option(
            names = "--budget",
            paramLabel = "K",
            split = ",",
            defaultValue = "16",
            description = "Pairs kept; several, such as 8,16, are measured one by one (default: 16).")
    private List<Integer> budgets = List.of();

    @Option(
            names = "--rows",
            paramLabel = "N",
            split = ",",
            defaultValue = "512",
            description = {
                "Vectors a batch; several, such as 64,512,8192, are measured one by one (default: 512).",
                "A block of 64 tokens has 256 for Yi-6B (4 KV heads), 512 for Mistral-7B and Qwen2.5-32B (8)."
            })
    private List<Integer> batches = List.of();

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        int dHead = vectors.dHead();
        int latents = vectors.latents();
        long seed = vectors.seed();
        budgets.forEach(budget -> Check.range("--budget", budget, 1, latents));
        batches.forEach(rows -> Check.range("--rows", rows, 1, 1 << 20));
        List<Measured> results = new ArrayList<>();
        try (Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, dHead, latents, seed)) {
            for (String name : chosen()) {
                try (EncoderBackend backend = Encoders.start(name, threads.count())) {
                    OptionalDouble peak = backend.peakGigaflops();
                    for (int budget : budgets) {
                        for (int rows : batches) {
                            results.add(new Measured(
                                    peak.isPresent() ? Optional.of(peak.getAsDouble()) : Optional.empty(),
                                    EncodeThroughput.measure(
                                            backend, dictionary, budget, rows, vectors.time(), seed + 1)));
                        }
                    }
                }
            }
        }
        output.emit(new Result("bench encode", threads.count(), results));
        for (Measured result : results) {
            if (result.rate().disagreement().isPresent()) {
                throw new IllegalStateException("encoder " + result.rate().backend() + " gives wrong codes: "
                        + result.rate().disagreement().get());
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

    /**
     * One line of the result.
     *
     * @param peakGigaflops most that the device can do, measured in the same run
     */
    record Measured(
            Optional<Double> peakGigaflops, @JsonUnwrapped EncodeThroughput rate) {
        /** What the product alone reaches of the device's peak. */
        Optional<Double> share() {
            return peakGigaflops.map(peak -> rate.gigaflops() / peak);
        }
    }

    /** The measured encoders. */
    record Result(String command, int threads, List<Measured> encoders) implements Report {
        @Override
        public void print(PrintWriter out) {
            EncodeThroughput any = encoders.getFirst().rate();
            out.printf("d_head %d, %d atoms, %d threads%n%n", any.dHead(), any.latents(), threads);
            TextTable table = TextTable.columns(
                            "encoder",
                            "budget",
                            "batch",
                            "vectors/s",
                            "GFLOP/s",
                            "of peak",
                            "p50",
                            "p99",
                            "kernels",
                            "transfer",
                            "codes")
                    .left(10);
            for (Measured result : encoders) {
                EncodeThroughput rate = result.rate();
                table.row(
                        rate.backend(),
                        Integer.toString(rate.budget()),
                        Quantities.count(rate.batch()),
                        Quantities.count(Math.round(rate.vectorsPerSecond())),
                        Quantities.digits(rate.gigaflops()),
                        result.share().map(Quantities::percent).orElse(null),
                        micros(rate.p50Micros()),
                        micros(rate.p99Micros()),
                        rate.device().map(times -> micros(times.kernelMicros())).orElse(null),
                        rate.device()
                                .map(times -> micros(times.transferMicros()))
                                .orElse(null),
                        rate.disagreement().orElse("right"));
            }
            table.print(out);
            out.println();
            out.println("p50, p99: of a batch's time; kernels, transfer: of one batch, by the device's own clock;");
            out.println("of peak: GFLOP/s of the product against multiply-adds of registers alone, both measured here");
        }

        private static String micros(double micros) {
            return Quantities.digits(micros) + " µs";
        }
    }
}
