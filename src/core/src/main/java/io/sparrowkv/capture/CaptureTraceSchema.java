package io.sparrowkv.capture;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.DType;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.arrow.vector.types.FloatingPointPrecision;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.arrow.vector.types.pojo.Field;
import org.apache.arrow.vector.types.pojo.FieldType;
import org.apache.arrow.vector.types.pojo.Schema;

/**
 * What a capture trace holds, and its Arrow schema: that of {@code arrow-schemas/capture-trace.schema.json}, with the taps, widths and
 * metadata of the trace at hand. The contract is {@code arrow-schemas/capture-trace.md}.
 *
 * @param origin the source that was captured
 * @param layers captured layers, ascending
 * @param taps captured taps
 * @param dtype of the vectors: F32 or F16
 */
record CaptureTraceSchema(VectorOrigin origin, List<Integer> layers, Set<Tap> taps, DType dtype) {
    static final String VERSION = "1";
    static final String LAYER = "layer";
    static final String POSITION = "position";

    private static final String PREFIX = "sparrow.";
    private static final String ITEM = "item";

    /** Floats of one token in one column. */
    int width() {
        return origin.kvHeads() * origin.dHead();
    }

    Schema toArrow() {
        List<Field> fields = new ArrayList<>();
        fields.add(new Field(LAYER, FieldType.notNullable(new ArrowType.Int(32, true)), List.of()));
        fields.add(new Field(POSITION, FieldType.notNullable(new ArrowType.Int(32, true)), List.of()));
        FloatingPointPrecision precision =
                dtype == DType.F16 ? FloatingPointPrecision.HALF : FloatingPointPrecision.SINGLE;
        Field item = new Field(ITEM, FieldType.notNullable(new ArrowType.FloatingPoint(precision)), List.of());
        for (Tap tap : taps) {
            fields.add(
                    new Field(tap.label(), FieldType.notNullable(new ArrowType.FixedSizeList(width())), List.of(item)));
        }
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put(PREFIX + "format_version", VERSION);
        metadata.put(PREFIX + "model_name", origin.modelName());
        metadata.put(PREFIX + "model_fingerprint", origin.modelFingerprint());
        metadata.put(PREFIX + "data_fingerprint", origin.dataFingerprint());
        metadata.put(PREFIX + "layers", Integer.toString(origin.layers()));
        metadata.put(
                PREFIX + "captured_layers",
                String.join(",", layers.stream().map(String::valueOf).toList()));
        metadata.put(PREFIX + "kv_heads", Integer.toString(origin.kvHeads()));
        metadata.put(PREFIX + "d_head", Integer.toString(origin.dHead()));
        metadata.put(PREFIX + "chunk_tokens", Integer.toString(origin.chunkTokens()));
        return new Schema(fields, metadata);
    }

    /** @throws InvalidInputException when a file's schema is not that of a trace */
    static CaptureTraceSchema fromArrow(Path path, Schema schema) {
        Map<String, String> metadata = schema.getCustomMetadata();
        String version = text(path, metadata, "format_version");
        if (!version.equals(VERSION)) {
            throw new InvalidInputException(
                    "%s: sparrow.format_version is %s where this program reads %s; capture again"
                            .formatted(path, version, VERSION));
        }
        VectorOrigin origin = new VectorOrigin(
                text(path, metadata, "model_name"),
                text(path, metadata, "model_fingerprint"),
                text(path, metadata, "data_fingerprint"),
                number(path, metadata, "layers"),
                number(path, metadata, "kv_heads"),
                number(path, metadata, "d_head"),
                number(path, metadata, "chunk_tokens"));
        List<Integer> layers = new ArrayList<>();
        for (String layer : text(path, metadata, "captured_layers").split(",")) {
            if (!layer.matches("\\d{1,4}")
                    || Integer.parseInt(layer) >= origin.layers()
                    || (!layers.isEmpty() && layers.getLast() >= Integer.parseInt(layer))) {
                throw new InvalidInputException(
                        "%s: sparrow.captured_layers is %s where ascending layers below %d are needed; capture again"
                                .formatted(path, metadata.get(PREFIX + "captured_layers"), origin.layers()));
            }
            layers.add(Integer.valueOf(layer));
        }
        Set<Tap> taps = EnumSet.noneOf(Tap.class);
        for (Tap tap : Tap.values()) {
            if (schema.getFields().stream().anyMatch(field -> field.getName().equals(tap.label()))) {
                taps.add(tap);
            }
        }
        for (DType dtype : new DType[] {DType.F32, DType.F16}) {
            CaptureTraceSchema found = new CaptureTraceSchema(origin, List.copyOf(layers), taps, dtype);
            if (!taps.isEmpty() && found.toArrow().getFields().equals(schema.getFields())) {
                return found;
            }
        }
        throw new InvalidInputException("%s: its columns are %s, not those of a capture trace; capture again"
                .formatted(path, Arrays.toString(schema.getFields().toArray())));
    }

    private static String text(Path path, Map<String, String> metadata, String name) {
        String value = metadata.get(PREFIX + name);
        if (value == null) {
            throw new InvalidInputException(
                    "%s: metadata %s%s is missing; it is no capture trace ('sparrow capture' writes one)"
                            .formatted(path, PREFIX, name));
        }
        return value;
    }

    private static int number(Path path, Map<String, String> metadata, String name) {
        String value = text(path, metadata, name);
        if (!value.matches("[1-9]\\d{0,6}")) {
            throw new InvalidInputException("%s: metadata %s%s is %s where a positive number is needed; capture again"
                    .formatted(path, PREFIX, name, value));
        }
        return Integer.parseInt(value);
    }
}
