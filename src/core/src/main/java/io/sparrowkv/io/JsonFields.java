package io.sparrowkv.io;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A JSON object in a file whose fields are read strictly: what does not fit is refused by file, field and value. */
public final class JsonFields {
    private static final JsonMapper JSON = JsonMapper.shared();

    private final Path path;
    private final String prefix;
    private final JsonNode node;

    private JsonFields(Path path, String prefix, JsonNode node) {
        this.path = path;
        this.prefix = prefix;
        this.node = node;
    }

    /** @throws InvalidInputException when the file is missing or no JSON object */
    public static JsonFields read(Path path) {
        try {
            JsonNode root = JSON.readTree(Files.readAllBytes(path));
            if (!root.isObject()) {
                throw new InvalidInputException(path + ": is not a JSON object; download it again");
            }
            return new JsonFields(path, "", root);
        } catch (NoSuchFileException e) {
            throw new InvalidInputException(path + ": no such file; name a folder that is complete", e);
        } catch (IOException e) {
            throw new InvalidInputException(
                    "%s: cannot be read (%s); check its permissions".formatted(path, e.getMessage()), e);
        } catch (JacksonException e) {
            String reason = e.getOriginalMessage().lines().findFirst().orElse("");
            throw new InvalidInputException("%s: is not JSON (%s); download it again".formatted(path, reason), e);
        }
    }

    /** The raw value; missing when the field is absent or null. */
    public Optional<JsonNode> get(String field) {
        return Optional.ofNullable(node.get(field)).filter(value -> !value.isNull());
    }

    /** Names of all fields. */
    public Collection<String> names() {
        return node.propertyNames();
    }

    /** Whether the field is there, be it null. */
    public boolean has(String field) {
        return node.has(field);
    }

    /** The fields of an object within this one; missing when absent or null. */
    public Optional<JsonFields> object(String field) {
        return get(field).map(value -> {
            if (!value.isObject()) {
                throw invalid(field, "an object is needed");
            }
            return new JsonFields(path, prefix + field + ".", value);
        });
    }

    /** The fields of each object in an array within this one; empty when absent or null. */
    public List<JsonFields> objects(String field) {
        List<JsonFields> objects = new ArrayList<>();
        get(field).ifPresent(array -> {
            if (!array.isArray()) {
                throw invalid(field, "a list of objects is needed");
            }
            for (JsonNode value : array) {
                if (!value.isObject()) {
                    throw invalid(field, "a list of objects is needed");
                }
                objects.add(new JsonFields(path, "%s%s[%d].".formatted(prefix, field, objects.size()), value));
            }
        });
        return objects;
    }

    public String string(String field) {
        return optionalString(field).orElseThrow(() -> missing(field));
    }

    public Optional<String> optionalString(String field) {
        return get(field).map(value -> {
            if (!value.isString()) {
                throw invalid(field, "a text is needed");
            }
            return value.stringValue();
        });
    }

    /** An integer in {@code [least, most]}; missing when absent or null. */
    public Optional<Integer> optionalInteger(String field, int least, int most) {
        return get(field).map(value -> {
            if (!value.isIntegralNumber()
                    || !value.canConvertToInt()
                    || value.intValue() < least
                    || value.intValue() > most) {
                throw invalid(field, "an integer from %d to %d is needed".formatted(least, most));
            }
            return value.intValue();
        });
    }

    /** An integer in {@code [least, most]}. */
    public int integer(String field, int least, int most) {
        return optionalInteger(field, least, most).orElseThrow(() -> missing(field));
    }

    /** An integer in {@code [1, most]}. */
    public int positive(String field, int most) {
        return optionalPositive(field, most).orElseThrow(() -> missing(field));
    }

    public Optional<Integer> optionalPositive(String field, int most) {
        return optionalInteger(field, 1, most);
    }

    /** A finite number. */
    public double number(String field) {
        return get(field)
                .map(value -> {
                    if (!value.isNumber() || !Double.isFinite(value.doubleValue())) {
                        throw invalid(field, "a number is needed");
                    }
                    return value.doubleValue();
                })
                .orElseThrow(() -> missing(field));
    }

    /** A finite number above 0. */
    public double positiveNumber(String field) {
        return optionalPositiveNumber(field).orElseThrow(() -> missing(field));
    }

    public Optional<Double> optionalPositiveNumber(String field) {
        return get(field).map(value -> {
            double number = value.isNumber() ? value.doubleValue() : Double.NaN;
            if (!(number > 0) || Double.isInfinite(number)) {
                throw invalid(field, "a number above 0 is needed");
            }
            return number;
        });
    }

    /** True or false; {@code otherwise} when absent or null. */
    public boolean flag(String field, boolean otherwise) {
        return get(field)
                .map(value -> {
                    if (!value.isBoolean()) {
                        throw invalid(field, "true or false is needed");
                    }
                    return value.booleanValue();
                })
                .orElse(otherwise);
    }

    /** Token ids: one or a list; empty when absent or null. */
    public List<Integer> ids(String field) {
        List<Integer> ids = new ArrayList<>();
        get(field).ifPresent(value -> {
            for (JsonNode id : value.isArray() ? value : List.of(value)) {
                if (!id.isIntegralNumber() || !id.canConvertToInt() || id.intValue() < 0) {
                    throw invalid(field, "a token id or a list of them is needed");
                }
                ids.add(id.intValue());
            }
        });
        return List.copyOf(ids);
    }

    /** The exception for a field whose value does not do. */
    public InvalidInputException invalid(String field, String need) {
        String value = String.valueOf(node.get(field));
        String brief = value.length() <= 80 ? value : value.substring(0, 80) + "…";
        return new InvalidInputException("%s: %s%s is %s; %s".formatted(path, prefix, field, brief, need));
    }

    public InvalidInputException missing(String field) {
        return new InvalidInputException("%s: %s%s is missing; use the complete file".formatted(path, prefix, field));
    }
}
