package io.sparrowkv.safetensors;

import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The checked header of a safetensors file. */
record SafetensorsHeader(Map<String, Tensor> tensors, Map<String, String> metadata) {
    static final String METADATA = "__metadata__";
    static final String DTYPE = "dtype";
    static final String SHAPE = "shape";
    static final String OFFSETS = "data_offsets";

    /** The longest header that Hugging Face's reader takes. */
    private static final long MAX_BYTES = 100_000_000;

    private static final String AGAIN = "; the file is damaged, download it again";

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    /** Where a tensor's bytes lie, counted from the end of the header. */
    private record Entry(String name, DType dtype, long[] shape, long begin, long end) {}

    static SafetensorsHeader parse(Path path, long length, MemorySegment file) {
        long room = file.byteSize() - SafetensorsFile.PREFIX_BYTES;
        if (length < 2 || length > MAX_BYTES) {
            throw new InvalidInputException(
                    "%s: header length is %s, outside 2..%d; it is no safetensors file, or damaged: download it again"
                            .formatted(path, Long.toUnsignedString(length), MAX_BYTES));
        }
        if (length > room) {
            throw new InvalidInputException(
                    "%s: header length is %d but only %d bytes follow; the file is truncated, download it again"
                            .formatted(path, length, room));
        }
        byte[] text = file.asSlice(SafetensorsFile.PREFIX_BYTES, length).toArray(ValueLayout.JAVA_BYTE);
        MemorySegment data = file.asSlice(SafetensorsFile.PREFIX_BYTES + length);
        JsonNode root;
        try {
            root = JSON.readTree(text);
        } catch (JacksonException e) {
            throw new InvalidInputException(
                    "%s: header is not JSON (%s)%s"
                            .formatted(
                                    path,
                                    e.getOriginalMessage().lines().findFirst().orElse(""),
                                    AGAIN),
                    e);
        }
        if (!root.isObject()) {
            throw new InvalidInputException("%s: header is not a JSON object%s".formatted(path, AGAIN));
        }
        List<Entry> entries = new ArrayList<>();
        Map<String, String> metadata = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> field : root.properties()) {
            if (field.getKey().equals(METADATA)) {
                metadata.putAll(metadata(path, field.getValue()));
            } else {
                entries.add(entry(path, field.getKey(), field.getValue()));
            }
        }
        checkLayout(path, entries, data.byteSize());
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (Entry e : entries) {
            MemorySegment bytes = data.asSlice(e.begin, e.end - e.begin);
            tensors.put(e.name, new Tensor(e.name, e.dtype, e.shape, bytes));
        }
        return new SafetensorsHeader(tensors, metadata);
    }

    private static Map<String, String> metadata(Path path, JsonNode node) {
        Map<String, String> metadata = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> field : node.properties()) {
            if (!field.getValue().isString()) {
                throw new InvalidInputException("%s: %s '%s' is %s, not a string%s"
                        .formatted(path, METADATA, field.getKey(), brief(field.getValue()), AGAIN));
            }
            metadata.put(field.getKey(), field.getValue().stringValue());
        }
        return metadata;
    }

    private static Entry entry(Path path, String name, JsonNode node) {
        JsonNode dtypeNode = field(path, name, node, DTYPE);
        DType dtype = Arrays.stream(DType.values())
                .filter(d -> dtypeNode.isString() && d.name().equals(dtypeNode.stringValue()))
                .findFirst()
                .orElseThrow(() -> new InvalidInputException("%s: tensor '%s': dtype %s is unknown; use one of %s"
                        .formatted(
                                path,
                                name,
                                brief(dtypeNode),
                                Arrays.stream(DType.values()).map(DType::name).collect(Collectors.joining(", ")))));
        long[] shape = integers(path, name, SHAPE, field(path, name, node, SHAPE));
        long[] offsets = integers(path, name, OFFSETS, field(path, name, node, OFFSETS));
        if (offsets.length != 2 || offsets[0] > offsets[1]) {
            throw new InvalidInputException("%s: tensor '%s': %s is %s, not [begin, end]%s"
                    .formatted(path, name, OFFSETS, Arrays.toString(offsets), AGAIN));
        }
        long bytes;
        try {
            bytes = Math.multiplyExact(Tensor.elements(shape), dtype.byteSize());
        } catch (ArithmeticException e) {
            throw new InvalidInputException(
                    "%s: tensor '%s': %s is %s, more than a file can hold%s"
                            .formatted(path, name, SHAPE, Arrays.toString(shape), AGAIN),
                    e);
        }
        if (bytes != offsets[1] - offsets[0]) {
            throw new InvalidInputException("%s: tensor '%s': %s of shape %s takes %d bytes but %s %s holds %d%s"
                    .formatted(
                            path,
                            name,
                            dtype,
                            Arrays.toString(shape),
                            bytes,
                            OFFSETS,
                            Arrays.toString(offsets),
                            offsets[1] - offsets[0],
                            AGAIN));
        }
        return new Entry(name, dtype, shape, offsets[0], offsets[1]);
    }

    /** The tensors must fill the data without gap or overlap: a truncated file shows here too. */
    private static void checkLayout(Path path, List<Entry> entries, long dataBytes) {
        List<Entry> byPlace = new ArrayList<>(entries);
        byPlace.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
        long filled = 0;
        for (Entry e : byPlace) {
            if (e.end > dataBytes) {
                throw new InvalidInputException(
                        "%s: tensor '%s': %s is [%d, %d] but the file holds %d bytes of data; it is truncated, download it again"
                                .formatted(path, e.name, OFFSETS, e.begin, e.end, dataBytes));
            }
            if (e.begin != filled) {
                throw new InvalidInputException("%s: tensor '%s': %s begins at %d where %d is expected: tensors %s%s"
                        .formatted(
                                path,
                                e.name,
                                OFFSETS,
                                e.begin,
                                filled,
                                e.begin < filled ? "overlap" : "leave a gap",
                                AGAIN));
            }
            filled = e.end;
        }
        if (filled != dataBytes) {
            throw new InvalidInputException("%s: %d bytes follow the last tensor, which ends at %d%s"
                    .formatted(path, dataBytes - filled, filled, AGAIN));
        }
    }

    private static JsonNode field(Path path, String name, JsonNode node, String field) {
        JsonNode value = node.get(field);
        if (value == null) {
            throw new InvalidInputException("%s: tensor '%s': %s is missing%s".formatted(path, name, field, AGAIN));
        }
        return value;
    }

    private static long[] integers(Path path, String name, String field, JsonNode node) {
        long[] values = new long[node.size()];
        boolean valid = node.isArray();
        for (int i = 0; valid && i < values.length; i++) {
            JsonNode element = node.get(i);
            valid = element.isIntegralNumber() && element.canConvertToLong() && element.longValue() >= 0;
            values[i] = valid ? element.longValue() : 0;
        }
        if (!valid) {
            throw new InvalidInputException("%s: tensor '%s': %s is %s, not a list of natural numbers%s"
                    .formatted(path, name, field, brief(node), AGAIN));
        }
        return values;
    }

    private static String brief(JsonNode node) {
        String text = node.toString();
        return text.length() <= 60 ? text : text.substring(0, 60) + "…";
    }
}
