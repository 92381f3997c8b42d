package io.sparrowkv.eval;

import io.sparrowkv.codec.PairFormat;
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
import java.util.List;
import java.util.Map;

/**
 * Sensitivities that were measured, kept so that an interrupted calibration goes on from them, and one for other bytes need not
 * measure at all.
 *
 * @param identity all that the measurements depend on, by name
 * @param sites those measured so far
 */
public record SensitivityFile(Map<String, String> identity, List<SiteSensitivity> sites) {
    private static final int MOST_LAYERS = 1 << 16;
    private static final int MOST_PAIRS = 1 << 16;

    public SensitivityFile {
        sites = List.copyOf(sites);
    }

    /**
     * Reads what was measured before under the same conditions.
     *
     * @return no sites when there is no file, or it was measured under others
     * @throws InvalidInputException when the file is broken
     */
    public static SensitivityFile read(Path file, Map<String, String> identity) {
        SensitivityFile none = new SensitivityFile(identity, List.of());
        if (!Files.exists(file)) {
            return none;
        }
        JsonFields fields = JsonFields.read(file);
        JsonFields found = fields.object("identity").orElseThrow(() -> fields.missing("identity"));
        for (Map.Entry<String, String> entry : identity.entrySet()) {
            if (!entry.getValue().equals(found.optionalString(entry.getKey()).orElse(""))) {
                return none;
            }
        }
        List<SiteSensitivity> sites = new ArrayList<>();
        for (JsonFields site : fields.objects("sites")) {
            List<Point> points = new ArrayList<>();
            for (JsonFields point : site.objects("points")) {
                points.add(new Point(
                        point.positive("pairs", MOST_PAIRS),
                        point.integer("residualBits", 0, PairFormat.MOST_RESIDUAL_BITS),
                        point.positiveNumber("bytes"),
                        point.positiveNumber("kl")));
            }
            try {
                sites.add(new SiteSensitivity(site.integer("layer", 0, MOST_LAYERS), kind(site), points));
            } catch (IllegalArgumentException e) {
                throw site.invalid("points", "pairs must ascend; delete the file to measure again");
            }
        }
        return new SensitivityFile(identity, sites);
    }

    /** Writes the file, whole or not at all. */
    public void write(Path file) {
        AtomicFile.write(file, (Json.text(this) + "\n").getBytes(StandardCharsets.UTF_8));
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
}
