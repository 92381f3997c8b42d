package io.sparrowkv.cli;

import com.fasterxml.jackson.annotation.JsonValue;
import io.sparrowkv.llm.model.ModelConfig;
import io.sparrowkv.llm.model.ModelDescription;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionaryFiles;
import io.sparrowkv.sae.DictionaryManifest;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Heads;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** Everything there is to work with. */
record InfoReport(
        String command,
        String version,
        Machine machine,
        List<EncoderInfo> encoders,
        Optional<ModelInfo> model,
        Optional<DictionariesInfo> dictionaries)
        implements Report {
    /** Whether an encoder can be used. */
    enum State {
        /** It can, and {@code --encoder auto} takes it. */
        AUTO,
        /** It can, when asked for by name. */
        AVAILABLE,
        /** Nobody looked yet. */
        UNTESTED,
        MISSING;

        @JsonValue
        String label() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /**
     * An encoder.
     *
     * @param description what it runs on, or why it cannot
     */
    record EncoderInfo(String name, State state, String description) {}

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

    /**
     * A model's dictionaries.
     *
     * @param path their folder
     * @param modelFingerprint of the model they were trained on
     * @param heads how a layer's KV heads are coded: shared, each or joint
     * @param dHead width of a vector
     * @param rope where keys were taken
     * @param latents atoms of each dictionary, M; the largest, where they differ
     * @param bytes of all weights in memory, fp32
     */
    record DictionariesInfo(
            String path,
            String model,
            String modelFingerprint,
            int sites,
            String heads,
            int dHead,
            int latents,
            String rope,
            long bytes,
            String fingerprint,
            Map<String, String> training) {
        static DictionariesInfo read(Path folder) {
            DictionaryManifest manifest = DictionaryFiles.readManifest(folder);
            try (DictionarySet set = DictionaryFiles.read(folder)) {
                return new DictionariesInfo(
                        folder.toString(),
                        manifest.modelName(),
                        manifest.modelFingerprint(),
                        set.bySite().size(),
                        set.bySite().firstKey().heads().label(),
                        set.dHead(),
                        set.bySite().values().stream()
                                .mapToInt(Dictionary::latents)
                                .max()
                                .orElse(0),
                        set.rope().label(),
                        set.byteSize(),
                        set.fingerprint(),
                        manifest.training());
            }
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
        TextTable table = TextTable.columns("  name", "state", "runs on").left(1, 2);
        encoders.forEach(
                encoder -> table.row("  " + encoder.name(), encoder.state().label(), encoder.description()));
        table.print(out);
        out.println();
        model.ifPresentOrElse(found -> print(out, found), () -> out.println("Model\n  none given, none bundled"));
        dictionaries.ifPresent(found -> print(out, found));
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

    private static void print(PrintWriter out, DictionariesInfo dictionaries) {
        out.printf("%nDictionaries %s%n", dictionaries.path());
        out.printf(
                "  of %s: %d sites, %s atoms of %d%s, keys %s RoPE, %s in memory, fingerprint %s%n",
                dictionaries.model(),
                dictionaries.sites(),
                Quantities.count(dictionaries.latents()),
                dictionaries.dHead(),
                dictionaries.heads().equals(Heads.JOINT.label()) ? " for a layer's KV heads together" : "",
                dictionaries.rope().equals("pre") ? "before" : "after",
                Quantities.bytes(dictionaries.bytes()),
                dictionaries.fingerprint());
        dictionaries.training().entrySet().stream()
                .sorted(Map.Entry.comparingByKey())
                .forEach(entry -> out.printf("  %s: %s%n", entry.getKey(), entry.getValue()));
    }
}
