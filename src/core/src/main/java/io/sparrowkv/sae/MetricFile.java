package io.sparrowkv.sae;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.SafetensorsFile;
import io.sparrowkv.safetensors.SafetensorsWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The file of a dictionary's metric, {@code metric.safetensors} beside its weights, with one tensor: {@code root [d_in, d_in]}, F32. It
 * is a file of its own so that tools which know SAELens' layout alone find nothing that they do not know.
 */
final class MetricFile {
    static final String NAME = "metric.safetensors";
    private static final String ROOT = "root";

    private MetricFile() {}

    /**
     * The metric of a dictionary's folder, none when there is no file of one.
     *
     * @throws InvalidInputException when the file is broken, or of another width
     */
    static Optional<Metric> read(Path folder, int dHead) {
        Path path = folder.resolve(NAME);
        if (!Files.exists(path)) {
            return Optional.empty();
        }
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            return Optional.of(Metric.of(file.tensor(ROOT, dHead, dHead)));
        } catch (IllegalArgumentException e) {
            throw new InvalidInputException(
                    "%s: %s is no metric (%s); copy the dictionaries again, or train them anew"
                            .formatted(path, ROOT, e.getMessage()),
                    e);
        }
    }

    static void write(Path folder, Metric metric) {
        new SafetensorsWriter().add(metric.tensor(ROOT)).write(folder.resolve(NAME));
    }
}
