package io.sparrowkv.store.chronicle;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.VectorKind;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.arrow.vector.types.pojo.Schema;

/**
 * The Arrow schema of an exported store: the fields of {@code arrow-schemas/store-export.schema.json}, whatever the store, and its
 * profile as metadata. The contract is {@code arrow-schemas/store-export.md}.
 */
final class ExportSchema {
    /** Version of the format; a reader refuses any other. */
    static final int VERSION = 1;

    static final String PREFIX = "prefix";
    static final String PARENT = "parent";
    static final String END = "end";
    static final String TOKENS = "tokens";
    static final String USED = "used";
    static final String LAYER = "layer";

    private static final String RESOURCE = "/io/sparrowkv/schemas/store-export.schema.json";
    private static final String NAMESPACE = "sparrow.";

    private ExportSchema() {}

    /** Column of the atom indices of a layer's keys or values. */
    static String index(VectorKind kind) {
        return kind.label() + "_index";
    }

    /** Column of the coefficients. */
    static String coefficient(VectorKind kind) {
        return kind.label() + "_coefficient";
    }

    /** Column of dense vectors. */
    static String dense(VectorKind kind) {
        return kind.label() + "_dense";
    }

    /** The schema as the file has it. */
    static Schema contract() {
        try (InputStream in = ExportSchema.class.getResourceAsStream(RESOURCE)) {
            if (in == null) {
                throw new IllegalStateException(RESOURCE + " is missing from the class path");
            }
            return Schema.fromJSON(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The schema of a store's export. */
    static Schema of(StoreProfile profile) {
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put(NAMESPACE + "format_version", Integer.toString(VERSION));
        metadata.put(NAMESPACE + "codec", profile.codec());
        metadata.put(NAMESPACE + "model_fingerprint", profile.model());
        metadata.put(NAMESPACE + "dictionaries_fingerprint", profile.dictionaries());
        metadata.put(NAMESPACE + "latents", Integer.toString(profile.latents()));
        metadata.put(NAMESPACE + "layers", Integer.toString(profile.layers()));
        metadata.put(NAMESPACE + "kv_heads", Integer.toString(profile.kvHeads()));
        metadata.put(NAMESPACE + "d_head", Integer.toString(profile.dHead()));
        metadata.put(NAMESPACE + "window", Integer.toString(profile.window()));
        metadata.put(NAMESPACE + "sinks", Integer.toString(profile.sinks()));
        metadata.put(NAMESPACE + "stored_key", text(profile.storedKey()));
        metadata.put(NAMESPACE + "stored_value", text(profile.storedValue()));
        metadata.put(NAMESPACE + "read_key", text(profile.readKey()));
        metadata.put(NAMESPACE + "read_value", text(profile.readValue()));
        return new Schema(contract().getFields(), metadata);
    }

    /**
     * The profile of the store that was exported.
     *
     * @throws InvalidInputException when the schema is not that of an export, or of another version
     */
    static StoreProfile profile(Path path, Schema schema) {
        Map<String, String> metadata = schema.getCustomMetadata();
        int version = number(path, metadata, "format_version");
        if (version != VERSION) {
            throw new InvalidInputException("%s: its format version is %d where this program reads %d; export again"
                    .formatted(path, version, VERSION));
        }
        if (!schema.getFields().equals(contract().getFields())) {
            throw new InvalidInputException("%s: its columns are %s, not those of an exported store"
                    .formatted(path, Arrays.toString(schema.getFields().toArray())));
        }
        return new StoreProfile(
                text(path, metadata, "codec"),
                text(path, metadata, "model_fingerprint"),
                text(path, metadata, "dictionaries_fingerprint"),
                number(path, metadata, "latents"),
                number(path, metadata, "layers"),
                number(path, metadata, "kv_heads"),
                number(path, metadata, "d_head"),
                number(path, metadata, "window"),
                number(path, metadata, "sinks"),
                numbers(path, metadata, "stored_key"),
                numbers(path, metadata, "stored_value"),
                numbers(path, metadata, "read_key"),
                numbers(path, metadata, "read_value"));
    }

    private static String text(List<Integer> numbers) {
        return numbers.stream().map(String::valueOf).collect(Collectors.joining(","));
    }

    private static String text(Path path, Map<String, String> metadata, String name) {
        String value = metadata.get(NAMESPACE + name);
        if (value == null) {
            throw new InvalidInputException(
                    "%s: metadata %s%s is missing; it is no exported store ('sparrow store export' writes one)"
                            .formatted(path, NAMESPACE, name));
        }
        return value;
    }

    private static int number(Path path, Map<String, String> metadata, String name) {
        return numbers(path, metadata, name).getFirst();
    }

    private static List<Integer> numbers(Path path, Map<String, String> metadata, String name) {
        String value = text(path, metadata, name);
        if (!value.matches("\\d{1,9}(,\\d{1,9})*")) {
            throw new InvalidInputException("%s: metadata %s%s is '%s' where numbers are needed; export again"
                    .formatted(path, NAMESPACE, name, value));
        }
        return Arrays.stream(value.split(",")).map(Integer::valueOf).toList();
    }
}
