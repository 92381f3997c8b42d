package io.sparrowkv.cli;

import io.sparrowkv.encode.EncodeSoak;
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
import java.time.Duration;
import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Streams batches through an encoder for a long time. */
@Command(
        name = "soak",
        description = {
            "Stream batches of 1 to 8,192 vectors for all sites of a model through an encoder, and watch its memory.",
            "Fails when memory grows, or a code is wrong."
        },
        sortOptions = false)
final class BenchSoakCommand implements Runnable {
    private static final int LAYERS = 6;
    private static final int D_HEAD = 128;
    private static final int LATENTS = 4096;
    private static final int BUDGET = 16;
    private static final int MOST_MINUTES = 24 * 60;

    /** Growth that says nothing: the C library's and the collector's own. */
    private static final long TOLERATED_BYTES = 32L << 20;

    @Option(
            names = "--encoder",
            paramLabel = "NAME",
            defaultValue = Encoders.AUTO,
            description = "Encoder, such as tornado:opencl:0 (default: auto).")
    private String encoder;

    @Option(names = "--minutes", paramLabel = "N", defaultValue = "10", description = "How long (default: 10).")
    private double minutes;

    @Mixin
    private ThreadArguments threads;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        if (!(minutes > 0 && minutes <= MOST_MINUTES)) {
            throw new InvalidInputException("--minutes " + minutes + ": must be above 0, up to " + MOST_MINUTES);
        }
        Duration time = Duration.ofNanos((long) (minutes * Duration.ofMinutes(1).toNanos()));
        EncodeSoak soak;
        try (EncoderBackend backend = Encoders.start(encoder, threads.count());
                DictionarySet set = RandomDictionaries.set(LAYERS, 0, RopeStage.PRE, D_HEAD, LATENTS, LATENTS, 1)) {
            soak = EncodeSoak.run(
                    backend, set, BUDGET, time, () -> MemoryNeed.resident().orElse(0L), 2);
        }
        output.emit(new Result("bench soak", Provenance.probe(), D_HEAD, LATENTS, BUDGET, 2 * LAYERS, soak));
        if (soak.disagreement().isPresent()) {
            throw new IllegalStateException("encoder " + soak.backend() + " fails its check: "
                    + soak.disagreement().get());
        }
        long grown = Math.max(soak.grownBytes(), soak.grownHeapBytes());
        if (grown > TOLERATED_BYTES) {
            throw new IllegalStateException(
                    "encoder " + soak.backend() + " grew by " + Quantities.bytes(grown) + ": it leaks");
        }
    }

    /** The stream. */
    record Result(String command, Provenance provenance, int dHead, int latents, int budget, int sites, EncodeSoak soak)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "%s (%s), %d sites, d_head %d, %d atoms, budget %d%n%n",
                    soak.backend(), soak.description(), sites, dHead, latents, budget);
            TextTable table = TextTable.columns("after", "process", "heap");
            List<EncodeSoak.Sample> samples = soak.samples();
            for (int i = 0; i < samples.size(); i += Math.max(1, samples.size() / 10)) {
                EncodeSoak.Sample sample = samples.get(i);
                table.row(
                        Quantities.digits(sample.seconds()) + " s",
                        Quantities.bytes(sample.residentBytes()),
                        Quantities.bytes(sample.heapBytes()));
            }
            table.print(out);
            out.printf(
                    "%n%s vectors in %s batches, %s of them checked: %s%n",
                    Quantities.count(soak.vectors()),
                    Quantities.count(soak.batches()),
                    Quantities.count(soak.checkedVectors()),
                    soak.disagreement().orElse("right"));
            out.printf(
                    "grown from the second fifth of the time to the last: process %s, heap %s%n",
                    signed(soak.grownBytes()), signed(soak.grownHeapBytes()));
        }

        private static String signed(long bytes) {
            return (bytes < 0 ? "-" : "") + Quantities.bytes(Math.abs(bytes));
        }
    }
}
