package io.sparrowkv.attention;

import io.sparrowkv.attention.CodeProfile.Kept;
import io.sparrowkv.codec.PairFormat;
import io.sparrowkv.codec.VectorCodecs;
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
import java.util.function.BiFunction;
import java.util.function.Function;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** Reads and writes the files of profiles, as {@link CacheProfile} describes them. */
final class ProfileJson {
    static final String MODEL = "model_fingerprint";
    static final String DICTIONARIES = "dictionaries_fingerprint";

    private static final int VERSION = 3;
    private static final int BEFORE_QUANTIZERS = 2;
    private static final String SPARSE = "sparse";
    private static final String QUANTIZED = "quantized";
    private static final String RESIDUAL_BITS = "_residual_bits";
    private static final int MOST_PAIRS = 1 << Short.SIZE;
    private static final JsonMapper JSON = JsonMapper.shared();

    private ProfileJson() {}

    static CacheProfile read(Path file) {
        JsonFields fields = JsonFields.read(file);
        int version = fields.integer("format_version", BEFORE_QUANTIZERS, VERSION);
        String codec = version == BEFORE_QUANTIZERS ? SPARSE : fields.string("codec");
        return switch (codec) {
            case SPARSE -> codes(fields);
            case QUANTIZED -> quantizers(fields);
            default -> throw fields.invalid("codec", SPARSE + " or " + QUANTIZED + " is needed");
        };
    }

    private static CodeProfile codes(JsonFields fields) {
        return new CodeProfile(
                fields.string(MODEL),
                fields.string(DICTIONARIES),
                parsed(fields, "refine", Refinement::parse),
                parsed(fields, "coefficients", Coefficients::parse),
                fields.positiveNumber("bytes"),
                byLayer(fields, VectorKind.KEY, ProfileJson::kept),
                byLayer(fields, VectorKind.VALUE, ProfileJson::kept));
    }

    private static QuantizerProfile quantizers(JsonFields fields) {
        return new QuantizerProfile(
                fields.string(MODEL),
                fields.positiveNumber("bytes"),
                byLayer(fields, VectorKind.KEY, ProfileJson::quantizer),
                byLayer(fields, VectorKind.VALUE, ProfileJson::quantizer));
    }

    private static <T> List<T> byLayer(JsonFields fields, VectorKind kind, BiFunction<JsonFields, VectorKind, T> read) {
        List<T> byLayer = new ArrayList<>();
        for (JsonFields layer : fields.objects("layers")) {
            byLayer.add(read.apply(layer, kind));
        }
        if (byLayer.isEmpty()) {
            throw fields.missing("layers");
        }
        return byLayer;
    }

    private static Kept kept(JsonFields layer, VectorKind kind) {
        return new Kept(
                layer.integer(kind.label(), Budgets.DENSE, MOST_PAIRS),
                layer.integer(kind.label() + RESIDUAL_BITS, 0, PairFormat.MOST_RESIDUAL_BITS));
    }

    private static String quantizer(JsonFields layer, VectorKind kind) {
        String name = layer.string(kind.label());
        if (!VectorCodecs.NAMES.contains(name)) {
            throw layer.invalid(kind.label(), "choose from " + String.join(", ", VectorCodecs.NAMES));
        }
        return name;
    }

    private static <T> T parsed(JsonFields fields, String field, Function<String, T> parse) {
        String text = fields.string(field);
        try {
            return parse.apply(text);
        } catch (InvalidInputException e) {
            throw fields.invalid(field, e.getMessage());
        }
    }

    static void write(CacheProfile profile, Path file) {
        ObjectNode root = JSON.createObjectNode();
        root.put("format_version", VERSION);
        root.put(
                "codec",
                switch (profile) {
                    case CodeProfile codes -> SPARSE;
                    case QuantizerProfile quantizers -> QUANTIZED;
                });
        root.put(MODEL, profile.model());
        root.put("bytes", profile.bytes());
        switch (profile) {
            case CodeProfile codes -> put(root, codes);
            case QuantizerProfile quantizers -> put(root, quantizers);
        }
        String text = JSON.writerWithDefaultPrettyPrinter().writeValueAsString(root) + "\n";
        AtomicFile.write(file, text.getBytes(StandardCharsets.UTF_8));
    }

    private static void put(ObjectNode root, CodeProfile profile) {
        root.put(DICTIONARIES, profile.dictionaries());
        root.put("refine", profile.refinement().label());
        root.put("coefficients", profile.coefficients().label());
        ArrayNode layers = root.putArray("layers");
        for (int layer = 0; layer < profile.keys().size(); layer++) {
            ObjectNode fields = layers.addObject();
            for (VectorKind kind : VectorKind.values()) {
                Kept kept = profile.of(layer, kind);
                fields.put(kind.label(), kept.pairs()).put(kind.label() + RESIDUAL_BITS, kept.residualBits());
            }
        }
    }

    private static void put(ObjectNode root, QuantizerProfile profile) {
        ArrayNode layers = root.putArray("layers");
        for (int layer = 0; layer < profile.keys().size(); layer++) {
            ObjectNode fields = layers.addObject();
            for (VectorKind kind : VectorKind.values()) {
                fields.put(kind.label(), profile.of(layer, kind));
            }
        }
    }

    static void requireSame(Path file, String field, String own, String whose, String other) {
        if (!own.equals(other)) {
            throw new InvalidInputException("%s: %s is %s, %s is %s; make a profile for them with 'sparrow calibrate'"
                    .formatted(file, field, own, whose, other));
        }
    }
}
