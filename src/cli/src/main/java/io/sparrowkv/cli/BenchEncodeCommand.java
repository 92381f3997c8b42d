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
    private static final List<Integer> DEFAULT_BUDGETS = List.of(16);
    private static final List<Integer> DEFAULT_BATCHES = List.of(512);
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
            names = "--shape",
            paramLabel = "NAME",
            description = {
                "Batches and budgets of a model, unless given: yi-6b, mistral-7b or qwen2.5-32b, with budgets of 8 and 16,",
                "and batches of 16 to 1,024 tokens: 64 to 4,096 vectors of 4 KV heads, 128 to 8,192 of 8."
            })
    private Optional<String> shape = Optional.empty();

    @Option(
            names = "--budget",
            paramLabel = "K",
            split = ",",
            description = "Pairs kept; several, such as 8,16, are measured one by one (default: 16).")
    private List<Integer> budgets = List.of();

    @Option(
            names = "--rows",
            paramLabel = "N",
            split = ",",
            description = "Vectors a batch; several, such as 64,512,8192, are measured one by one (default: 512).")
    private List<Integer> batches = List.of();

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        int dHead = vectors.dHead();
        int latents = vectors.latents();
        long seed = vectors.seed();
        Optional<ModelShape> model = shape.map(ModelShape::of);
        if (model.isPresent() && (dHead != ModelShape.D_HEAD || latents != ModelShape.LATENTS)) {
            throw new InvalidInputException("--shape %s: has d_head %d and %d atoms; leave --d-head and --latents away"
                    .formatted(model.get().label(), ModelShape.D_HEAD, ModelShape.LATENTS));
        }
        if (budgets.isEmpty()) {
            budgets = model.map(found -> ModelShape.BUDGETS).orElse(DEFAULT_BUDGETS);
        }
        if (batches.isEmpty()) {
            batches = model.map(ModelShape::batches).orElse(DEFAULT_BATCHES);
        }
        budgets.forEach(budget -> Check.range("--budget", budget, 1, latents));
        batches.forEach(rows -> Check.range("--rows", rows, 1, 1 << 20));
        List<Measured> results = new ArrayList<>();
        try (Dictionary dictionary = RandomDictionaries.dictionary(SITE, RopeStage.PRE, dHead, latents, seed)) {
            for (String name : chosen()) {
                try (EncoderBackend backend = Encoders.start(name, threads.count())) {
                    OptionalDouble peak = backend.peakGigaflops();
                    for (int budget : budgets) {
                        for (int rows : batches) {
                            EncodeThroughput rate = EncodeThroughput.measure(
                                    backend, dictionary, budget, rows, vectors.time(), seed + 1);
                            results.add(Measured.of(peak, rate));
                            // The result comes at the end: what a driver ends with the process is not lost.
                            output.err()
                                    .printf(
                                            "sparrow: %s, budget %d, batches of %d: %s vectors/s, codes %s%n",
                                            rate.backend(),
                                            budget,
                                            rows,
                                            Quantities.count(Math.round(rate.vectorsPerSecond())),
                                            rate.disagreement().orElse("right"));
                        }
                    }
                }
            }
        }
        output.emit(
                new Result("bench encode", Provenance.probe(), threads.count(), model.map(ModelShape::label), results));
        for (Measured result : results) {
            if (result.rate().disagreement().isPresent()) {
                throw new IllegalStateException("encoder " + result.rate().backend() + " fails its check: "
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
     * @param shareOfPeak what the product alone reaches of it
     * @param residentVectorsPerSecond with vectors and codes on the device: by the time in its kernels alone
     */
    record Measured(
            Optional<Double> peakGigaflops,
            Optional<Double> shareOfPeak,
            Optional<Double> residentVectorsPerSecond,
            @JsonUnwrapped EncodeThroughput rate) {
        static Measured of(OptionalDouble peak, EncodeThroughput rate) {
            return new Measured(
                    peak.isPresent() ? Optional.of(peak.getAsDouble()) : Optional.empty(),
                    peak.isPresent() ? Optional.of(rate.gigaflops() / peak.getAsDouble()) : Optional.empty(),
                    rate.device()
                            .filter(times -> times.kernelMicros() > 0)
                            .map(times -> rate.batch() * 1e6 / times.kernelMicros()),
                    rate);
        }
    }

    /** The measured encoders. */
    record Result(String command, Provenance provenance, int threads, Optional<String> shape, List<Measured> encoders)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            EncodeThroughput any = encoders.getFirst().rate();
            out.printf(
                    "%sd_head %d, %d atoms, %d threads%n%n",
                    shape.map(name -> name + ": ").orElse(""), any.dHead(), any.latents(), threads);
            TextTable table = TextTable.columns(
                            "encoder",
                            "budget",
                            "batch",
                            "vectors/s",
                            "resident/s",
                            "GFLOP/s",
                            "of peak",
                            "p50",
                            "p99",
                            "kernels",
                            "transfer",
                            "codes")
                    .left(11);
            for (Measured result : encoders) {
                EncodeThroughput rate = result.rate();
                table.row(
                        rate.backend(),
                        Integer.toString(rate.budget()),
                        Quantities.count(rate.batch()),
                        Quantities.count(Math.round(rate.vectorsPerSecond())),
                        result.residentVectorsPerSecond()
                                .map(resident -> Quantities.count(Math.round(resident)))
                                .orElse(null),
                        Quantities.digits(rate.gigaflops()),
                        result.shareOfPeak().map(Quantities::percent).orElse(null),
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
            out.println("vectors/s: from and to host memory; resident/s: by the time in the device's kernels alone");
            out.println("p50, p99: of a batch's time; kernels, transfer: of one batch, by the device's own clock;");
            out.println("of peak: GFLOP/s of the product against multiply-adds of registers alone, both measured here");
        }

        private static String micros(double micros) {
            return Quantities.digits(micros) + " µs";
        }
    }
}
