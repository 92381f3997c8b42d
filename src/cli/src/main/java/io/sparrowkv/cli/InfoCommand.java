package io.sparrowkv.cli;

import io.sparrowkv.cli.EncodeMeasurement.Workload;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderProvider;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Shows what there is to work with: machine, encoders, model, dictionaries. */
@Command(
        name = "info",
        description = "Show the machine, the encoders, and a model with its dictionaries.",
        sortOptions = false)
final class InfoCommand implements Runnable {
    @Option(names = "--measure", description = "Measure how fast each encoder is, about a second each.")
    private boolean measure;

    @Mixin
    private ThreadArguments threads;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        output.emit(new Result("info", Version.number(), Machine.probe(), encoders()));
    }

    private List<EncoderInfo> encoders() {
        List<EncoderInfo> found = new ArrayList<>();
        boolean autoTaken = false;
        for (EncoderProvider provider : Encoders.providers()) {
            Optional<String> reason = provider.unavailable();
            boolean auto = reason.isEmpty() && !autoTaken;
            autoTaken |= auto;
            found.add(
                    reason.isPresent() ? EncoderInfo.missing(provider.name(), reason.get()) : started(provider, auto));
        }
        return found;
    }

    private EncoderInfo started(EncoderProvider provider, boolean auto) {
        try (EncoderBackend backend = provider.start(threads.count())) {
            Optional<Double> rate = measure
                    ? Optional.of(
                            EncodeMeasurement.of(backend, Workload.STANDARD, 1).vectorsPerSecond())
                    : Optional.empty();
            return new EncoderInfo(provider.name(), true, auto, backend.description(), rate);
        }
    }

    /**
     * An encoder and whether it can be used.
     *
     * @param auto whether {@code --encoder auto} takes it
     * @param description what it runs on, or why it cannot
     * @param vectorsPerSecond at d_head 128, 4096 atoms and a budget of 16, when measured
     */
    record EncoderInfo(
            String name, boolean available, boolean auto, String description, Optional<Double> vectorsPerSecond) {
        static EncoderInfo missing(String name, String reason) {
            return new EncoderInfo(name, false, false, reason, Optional.empty());
        }
    }

    /** Everything there is to work with. */
    record Result(String command, String version, Machine machine, List<EncoderInfo> encoders) implements Report {
        @Override
        public void print(PrintWriter out) {
            out.println("Machine");
            out.printf("  %s, %d cores, Vector API %d bits%n", machine.cpu(), machine.cores(), machine.vectorBits());
            out.printf(
                    "  memory %s, %s available, JVM heap up to %s%n",
                    Quantities.bytes(machine.memoryBytes()),
                    Quantities.bytes(machine.availableBytes()),
                    Quantities.bytes(machine.heapBytes()));
            out.printf("  Java %s, Sparrow KV %s%n%n", machine.java(), version);
            out.println("Encoders");
            TextTable table =
                    TextTable.columns("  name", "state", "runs on", "vectors/s").left(1, 2);
            for (EncoderInfo encoder : encoders) {
                table.row(
                        "  " + encoder.name(),
                        encoder.auto() ? "auto" : encoder.available() ? "available" : "missing",
                        encoder.description(),
                        encoder.vectorsPerSecond()
                                .map(rate -> Quantities.count(Math.round(rate)))
                                .orElse(null));
            }
            table.print(out);
        }
    }
}
