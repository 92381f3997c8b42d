package io.sparrowkv.eval;

import io.sparrowkv.eval.SiteSensitivity.Point;
import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.JsonFields;
import io.sparrowkv.report.Json;
import io.sparrowkv.sae.VectorKind;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Sensitivities that were measured, kept so that an interrupted calibration goes on from them, and one for other bytes need not
 * measure at all. One file holds what was measured under different conditions.
 *
 * @param measurements each of conditions of its own
 */
public record SensitivityFile(List<Measurement> measurements) {
    private static final int MOST_LAYERS = 1 << 16;

    /**
     * What was measured under some conditions.
     *
     * @param identity all that the measurements depend on, by name
     * @param sites those measured so far
     */
    public record Measurement(Map<String, String> identity, List<SiteSensitivity> sites) {
        public Measurement {
            sites = List.copyOf(sites);
        }
    }

    public SensitivityFile {
        measurements = List.copyOf(measurements);
    }

    /**
     * Reads what was measured before.
     *
     * @return nothing when there is no file
     * @throws InvalidInputException when the file is broken
     */
    public static SensitivityFile read(Path file) {
        if (!Files.exists(file)) {
            return new SensitivityFile(List.of());
        }
        JsonFields fields = JsonFields.read(file);
        if (!fields.has("measurements")) {
            throw new InvalidInputException(
                    "%s: has no measurements, as files of earlier versions; delete it to measure again"
                            .formatted(file));
        }
        List<Measurement> measurements = new ArrayList<>();
        for (JsonFields measurement : fields.objects("measurements")) {
            JsonFields identity = measurement.object("identity").orElseThrow(() -> measurement.missing("identity"));
            Map<String, String> named = new LinkedHashMap<>();
            identity.names().forEach(name -> named.put(name, identity.string(name)));
            List<SiteSensitivity> sites = new ArrayList<>();
            for (JsonFields site : measurement.objects("sites")) {
                sites.add(site(site));
            }
            measurements.add(new Measurement(named, sites));
        }
        return new SensitivityFile(measurements);
    }

    private static SiteSensitivity site(JsonFields site) {
        List<Point> points = new ArrayList<>();
        for (JsonFields point : site.objects("points")) {
            points.add(new Point(point.string("kept"), point.positiveNumber("bytes"), point.number("kl")));
        }
        try {
            return new SiteSensitivity(site.integer("layer", 0, MOST_LAYERS), kind(site), points);
        } catch (IllegalArgumentException e) {
            throw site.invalid("points", "each once is needed; delete the file to measure again");
        }
    }

    private static VectorKind kind(JsonFields site) {
        String text = site.string("kind");
        for (VectorKind kind : VectorKind.values()) {
            if (kind.name().equals(text)) {
                return kind;
            }
        }
        throw site.invalid("kind", "KEY or VALUE is needed; delete the file to measure again");
    }

    /** The sites that were measured under these very conditions. */
    public List<SiteSensitivity> sites(Map<String, String> identity) {
        return measurements.stream()
                .filter(measurement -> measurement.identity().equals(identity))
                .flatMap(measurement -> measurement.sites().stream())
                .toList();
    }

    /** This with the sites that were measured under some conditions, in place of those before, and all others as they are. */
    public SensitivityFile with(Map<String, String> identity, List<SiteSensitivity> sites) {
        List<Measurement> all = measurements.stream()
                .filter(measurement -> !measurement.identity().equals(identity))
                .collect(Collectors.toCollection(ArrayList::new));
        all.add(new Measurement(identity, sites));
        return new SensitivityFile(all);
    }

    /** Writes the file, whole or not at all. */
    public void write(Path file) {
        AtomicFile.write(file, (Json.text(this) + "\n").getBytes(StandardCharsets.UTF_8));
    }
}
