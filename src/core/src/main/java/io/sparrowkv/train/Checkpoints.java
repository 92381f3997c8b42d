package io.sparrowkv.train;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Metric;
import io.sparrowkv.sae.Site;
import io.sparrowkv.safetensors.SafetensorsFile;
import io.sparrowkv.safetensors.SafetensorsWriter;
import io.sparrowkv.safetensors.Tensor;
import java.math.BigDecimal;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Saves a training's state, so that it can go on after an interruption as if there had been none. A checkpoint is one safetensors
 * file, replaced whole: for each site, under {@code layer.03.key/}, the tensors of {@link TrainerState#tensors} and, where it has one,
 * {@code metric}, its metric's root; its metadata hold the run's settings and its position in the source. Numbers there are decimal and
 * read back to the same bits.
 */
public final class Checkpoints {
    private static final Logger LOG = LoggerFactory.getLogger(Checkpoints.class);
    private static final String FORMAT = "sparrow-kv-training";
    private static final String VERSION = "1";
    private static final String METRIC = "metric";

    private final Optional<Path> file;
    private final long everyNanos;
    private long savedAt = System.nanoTime();

    private Checkpoints(Optional<Path> file, Duration every) {
        this.file = file;
        this.everyNanos = every.toNanos();
    }

    /** No checkpoints. */
    public static Checkpoints none() {
        return new Checkpoints(Optional.empty(), Duration.ofDays(1));
    }

    /** A file that is replaced each time the training has gone on for {@code every}. */
    public static Checkpoints to(Path file, Duration every) {
        return new Checkpoints(Optional.of(file), every);
    }

    void saveIfDue(TrainingRun run) {
        if (file.isPresent() && System.nanoTime() - savedAt >= everyNanos) {
            save(run);
        }
    }

    void save(TrainingRun run) {
        if (file.isEmpty()) {
            return;
        }
        SafetensorsWriter writer = new SafetensorsWriter()
                .metadata("format", FORMAT)
                .metadata("version", VERSION)
                .metadata("encoder", run.backend().name())
                .metadata("step", Integer.toString(run.position().step()))
                .metadata("fill", Long.toString(run.position().fill()))
                .metadata("fill_start", Long.toString(run.position().fillStart()))
                .metadata("batch_of_fill", Integer.toString(run.position().batchOfFill()));
        run.identity().forEach((name, value) -> writer.metadata("settings." + name, value));
        for (int i = 0; i < run.trainers().size(); i++) {
            TrainerState state = run.trainers().get(i).state();
            String prefix = prefix(run, i);
            writer.metadata(prefix + "factor", Float.toString(run.space(i).factor()))
                    .metadata(prefix + "variance", Double.toString(state.variance()))
                    .metadata(prefix + "vectors", Long.toString(state.vectors()));
            state.tensors(prefix).forEach(writer::add);
            run.space(i).metric().ifPresent(metric -> writer.add(metric.tensor(prefix + METRIC)));
        }
        writer.write(file.get());
        savedAt = System.nanoTime();
    }

    /**
     * Brings a run to where a checkpoint was saved.
     *
     * @throws InvalidInputException when the file is missing, broken, or of a run with other settings, model or text
     */
    public static void restore(TrainingRun run, Path file) {
        try (SafetensorsFile saved = SafetensorsFile.open(file)) {
            Map<String, String> metadata = saved.metadata();
            expect(file, metadata, "format", FORMAT, "it is no checkpoint of a training");
            expect(file, metadata, "version", VERSION, "train again with this version");
            run.identity()
                    .forEach((name, value) -> expect(
                            file,
                            metadata,
                            "settings." + name,
                            value,
                            "resume with what it was begun with, or train anew elsewhere"));
            if (!run.backend().name().equals(metadata.get("encoder"))) {
                LOG.warn(
                        "{}: was trained with the encoder '{}' and goes on with '{}'; the result may differ in the last bits",
                        file,
                        metadata.get("encoder"),
                        run.backend().name());
            }
            float[] factors = new float[run.trainers().size()];
            int step = number(file, metadata, "step").intValue();
            for (int i = 0; i < factors.length; i++) {
                TrainerState state = run.trainers().get(i).state();
                String prefix = prefix(run, i);
                for (Tensor tensor : state.tensors(prefix)) {
                    Tensor from = saved.tensor(tensor.name(), tensor.shape());
                    if (from.dtype() != tensor.dtype()) {
                        throw new InvalidInputException("%s: tensor '%s' is %s, not %s; the file is damaged, train anew"
                                .formatted(file, tensor.name(), from.dtype(), tensor.dtype()));
                    }
                    tensor.data().copyFrom(from.data());
                }
                factors[i] = number(file, metadata, prefix + "factor").floatValue();
                state.restore(
                        step,
                        number(file, metadata, prefix + "vectors").longValue(),
                        number(file, metadata, prefix + "variance").doubleValue());
            }
            run.restore(
                    new TrainingRun.Position(
                            step,
                            number(file, metadata, "fill").longValue(),
                            number(file, metadata, "fill_start").longValue(),
                            number(file, metadata, "batch_of_fill").intValue()),
                    factors);
        }
    }

    /**
     * The metrics of a run that was saved, for the run that goes on from there: to measure them again would take a while.
     *
     * @throws InvalidInputException when the file is missing or broken
     */
    public static Map<Site, Metric> metrics(Path file, List<Site> sites) {
        try (SafetensorsFile saved = SafetensorsFile.open(file)) {
            Map<Site, Metric> metrics = new HashMap<>();
            for (Site site : sites) {
                String name = prefix(site) + METRIC;
                if (saved.names().contains(name)) {
                    try {
                        metrics.put(site, Metric.of(saved.tensor(name)));
                    } catch (IllegalArgumentException e) {
                        throw new InvalidInputException(
                                "%s: tensor '%s' is no metric (%s); the file is damaged, train anew"
                                        .formatted(file, name, e.getMessage()),
                                e);
                    }
                }
            }
            return metrics;
        }
    }

    private static String prefix(Site site) {
        return site.label() + "/";
    }

    private static String prefix(TrainingRun run, int site) {
        return prefix(run.settings().sites().get(site));
    }

    private static void expect(Path file, Map<String, String> metadata, String name, String value, String remedy) {
        if (!value.equals(metadata.get(name))) {
            throw new InvalidInputException(
                    "%s: %s is %s where %s is expected; %s".formatted(file, name, metadata.get(name), value, remedy));
        }
    }

    private static BigDecimal number(Path file, Map<String, String> metadata, String name) {
        try {
            return new BigDecimal(metadata.getOrDefault(name, ""));
        } catch (NumberFormatException e) {
            throw new InvalidInputException(
                    "%s: %s is %s, not a number; the file is damaged, train anew"
                            .formatted(file, name, metadata.get(name)),
                    e);
        }
    }
}
