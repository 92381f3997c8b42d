package io.sparrowkv.attention;

import io.sparrowkv.codec.PairFormat;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.JsonFields;
import io.sparrowkv.sae.VectorKind;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * How a model's vectors are best coded under some number of bytes, as {@code sparrow calibrate} found it: budgets by layer and kind, and
 * the refinement and the coefficients that they were found with. A JSON file:
 *
 * <pre>
 * {
 *   "format_version": 2,
 *   "model_fingerprint": "…",
 *   "dictionaries_fingerprint": "…",
 *   "refine": "pursuit:64",
 *   "coefficients": "4",
 *   "bytes": 67.3,
 *   "layers": [{"key": 16, "key_residual_bits": 1, "value": 12, "value_residual_bits": 0}, …]
 * }
 * </pre>
 *
 * @param model fingerprint of the model
 * @param dictionaries fingerprint of its dictionaries
 * @param refinement what is done to codes before they are kept
 * @param coefficients what their coefficients are kept as
 * @param bytes coded bytes of a token and KV head, keys and values, mean of the layers
 * @param keys what is kept of a key, by layer
 * @param values what is kept of a value, by layer
 */
public record CacheProfile(
        String model,
        String dictionaries,
        Refinement refinement,
        Coefficients coefficients,
        double bytes,
        List<Kept> keys,
        List<Kept> values) {
    private static final int VERSION = 2;
    private static final String RESIDUAL_BITS = "_residual_bits";
    private static final int MOST_PAIRS = 1 << Short.SIZE;
    private static final JsonMapper JSON = JsonMapper.shared();

    /**
     * What is kept of a site's vectors.
     *
     * @param pairs of a code; {@link Budgets#DENSE} keeps vectors as fp16
     * @param residualBits bits of each number of what the pairs leave
     */
    public record Kept(int pairs, int residualBits) {}

    public CacheProfile {
        keys = List.copyOf(keys);
        values = List.copyOf(values);
        if (keys.isEmpty() || keys.size() != values.size()) {
            throw new IllegalArgumentException("budgets of %d and %d layers".formatted(keys.size(), values.size()));
        }
    }

    /**
     * Reads a profile.
     *
     * @throws InvalidInputException when the file is missing, broken, or of another version
     */
    public static CacheProfile read(Path file) {
        JsonFields fields = JsonFields.read(file);
        fields.integer("format_version", VERSION, VERSION);
        List<Kept> keys = new ArrayList<>();
        List<Kept> values = new ArrayList<>();
        for (JsonFields layer : fields.objects("layers")) {
            keys.add(kept(layer, VectorKind.KEY));
            values.add(kept(layer, VectorKind.VALUE));
        }
        if (keys.isEmpty()) {
            throw fields.missing("layers");
        }
        return new CacheProfile(
                fields.string("model_fingerprint"),
                fields.string("dictionaries_fingerprint"),
                parsed(fields, "refine", Refinement::parse),
                parsed(fields, "coefficients", Coefficients::parse),
                fields.positiveNumber("bytes"),
                keys,
                values);
    }

    private static Kept kept(JsonFields layer, VectorKind kind) {
        return new Kept(
                layer.integer(kind.label(), Budgets.DENSE, MOST_PAIRS),
                layer.integer(kind.label() + RESIDUAL_BITS, 0, PairFormat.MOST_RESIDUAL_BITS));
    }

    private static <T> T parsed(JsonFields fields, String field, Function<String, T> parse) {
        String text = fields.string(field);
        try {
            return parse.apply(text);
        } catch (InvalidInputException e) {
            throw fields.invalid(field, e.getMessage());
        }
    }

    /**
     * Writes the profile, or leaves the file as it was.
     *
     * @throws InvalidInputException when it cannot be written
     */
    public void write(Path file) {
        ObjectNode root = JSON.createObjectNode();
        root.put("format_version", VERSION);
        root.put("model_fingerprint", model);
        root.put("dictionaries_fingerprint", dictionaries);
        root.put("refine", refinement.label());
        root.put("coefficients", coefficients.label());
        root.put("bytes", bytes);
        ArrayNode layers = root.putArray("layers");
        for (int layer = 0; layer < keys.size(); layer++) {
            ObjectNode fields = layers.addObject();
            put(fields, VectorKind.KEY, keys.get(layer));
            put(fields, VectorKind.VALUE, values.get(layer));
        }
        String text = JSON.writerWithDefaultPrettyPrinter().writeValueAsString(root) + "\n";
        AtomicFile.write(file, text.getBytes(StandardCharsets.UTF_8));
    }

    private static void put(ObjectNode layer, VectorKind kind, Kept kept) {
        layer.put(kind.label(), kept.pairs()).put(kind.label() + RESIDUAL_BITS, kept.residualBits());
    }

    /** The budgets of all layers. */
    public Budgets budgets() {
        return byLayer(Kept::pairs);
    }

    /** The bits of residuals of all layers. */
    public Budgets residualBits() {
        return byLayer(Kept::residualBits);
    }

    private Budgets byLayer(ToIntFunction<Kept> part) {
        Budgets budgets = Budgets.of(part.applyAsInt(keys.getFirst()), part.applyAsInt(values.getFirst()));
        for (int layer = 1; layer < keys.size(); layer++) {
            budgets = budgets.with(layer, VectorKind.KEY, part.applyAsInt(keys.get(layer)))
                    .with(layer, VectorKind.VALUE, part.applyAsInt(values.get(layer)));
        }
        return budgets;
    }

    /** These options with the profile's budgets, refinement, coefficients and residuals. */
    public CacheOptions applyTo(CacheOptions options) {
        return options.withBudgets(budgets())
                .withRefinement(refinement)
                .withCoefficients(coefficients)
                .withResidualBits(residualBits());
    }

    /**
     * Refuses a model or dictionaries other than those that the profile was made for.
     *
     * @param file where the profile was read from
     * @throws InvalidInputException with both fingerprints
     */
    public void requireFit(Path file, String modelFingerprint, String dictionariesFingerprint) {
        requireSame(file, "model_fingerprint", model, "the model's", modelFingerprint);
        requireSame(file, "dictionaries_fingerprint", dictionaries, "the dictionaries'", dictionariesFingerprint);
    }

    private static void requireSame(Path file, String field, String own, String whose, String other) {
        if (!own.equals(other)) {
            throw new InvalidInputException("%s: %s is %s, %s is %s; make a profile for them with 'sparrow calibrate'"
                    .formatted(file, field, own, whose, other));
        }
    }
}
