package io.sparrowkv.cli;

import io.sparrowkv.llm.model.ModelConfig;
import io.sparrowkv.llm.model.ModelDescription;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** Everything there is to work with. */
record InfoReport(
        String command, String version, Machine machine, List<EncoderInfo> encoders, Optional<ModelInfo> model)
        implements Report {
    /**
     * An encoder and whether it can be used.
     *
     * @param auto whether {@code --encoder auto} takes it
     * @param description what it runs on, or why it cannot
     * @param vectorsPerSecond at d_head 128, 4096 atoms and a budget of 16, when measured
     */
    record EncoderInfo(
            String name, boolean available, boolean auto, String description, Optional<Double> vectorsPerSecond) {}

    /**
     * A model.
     *
     * @param path its folder
     * @param context longest context it was made for, in tokens
     * @param denseFp16BytesPerToken of its keys and values
     */
    record ModelInfo(
            String path,
            String family,
            long parameters,
            long weightBytes,
            int layers,
            int hidden,
            int heads,
            int kvHeads,
            int dHead,
            int vocabulary,
            int context,
            long denseFp16BytesPerToken,
            String fingerprint) {
        static ModelInfo of(Path folder, ModelDescription description) {
            ModelConfig config = description.config();
            return new ModelInfo(
                    folder.toString(),
                    config.family().modelType(),
                    description.parameters(),
                    description.weightBytes(),
                    config.layers(),
                    config.hidden(),
                    config.heads(),
                    config.kvHeads(),
                    config.dHead(),
                    config.vocabulary(),
                    config.maxPositions(),
                    2L * Short.BYTES * config.layers() * config.kvHeads() * config.dHead(),
                    description.fingerprint());
        }
    }

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
        out.println();
        model.ifPresentOrElse(found -> print(out, found), () -> out.println("Model\n  none given, none bundled"));
    }

    private static void print(PrintWriter out, ModelInfo model) {
        out.println("Model " + model.path());
        out.printf(
                "  %s, %s parameters, %s of weights, fingerprint %s%n",
                model.family(),
                Quantities.count(model.parameters()),
                Quantities.bytes(model.weightBytes()),
                model.fingerprint());
        out.printf(
                "  %d layers, hidden %d, %d query heads on %d KV heads of %d, vocabulary %s, context %s%n",
                model.layers(),
                model.hidden(),
                model.heads(),
                model.kvHeads(),
                model.dHead(),
                Quantities.count(model.vocabulary()),
                Quantities.count(model.context()));
        out.printf("  keys and values as dense fp16: %s a token%n", Quantities.bytes(model.denseFp16BytesPerToken()));
    }
}
