package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.JsonFields;
import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.SafetensorsFile;
import io.sparrowkv.safetensors.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * The weights of a model's folder, mapped: {@code model.safetensors}, or the shards that {@code model.safetensors.index.json} names.
 * Every tensor that the configuration calls for is there and has its shape, or the folder is refused on opening.
 *
 * <p>Weights reach libtorch as fp32. F32 tensors share the mapped file; F16 and BF16 are widened here, since libtorch's JVM binding
 * cannot hold BF16 and computes F16 slowly on a CPU.
 */
final class ModelWeights implements AutoCloseable {
    static final String SINGLE_FILE = "model.safetensors";
    static final String INDEX_FILE = "model.safetensors.index.json";

    private static final String WEIGHT_MAP = "weight_map";

    /** Runs of values that a tensor gives to the fingerprint, spread evenly, and the length of each. */
    private static final int SAMPLE_RUNS = 16;

    private static final int SAMPLE_LENGTH = 16;

    private final ModelConfig config;
    private final Map<Path, SafetensorsFile> files = new TreeMap<>();
    private final Map<String, SafetensorsFile> fileOf = new LinkedHashMap<>();

    /** Name under which the files hold the embedding: of a tied pair some hold the head alone. */
    private String embedding = WeightNames.EMBEDDING;

    private ModelWeights(ModelConfig config) {
        this.config = config;
    }

    /** @throws InvalidInputException when a file, a shard or a tensor is missing or not as the configuration says */
    static ModelWeights open(Path folder, ModelConfig config) {
        ModelWeights weights = new ModelWeights(config);
        try {
            weights.openFiles(folder);
            return weights;
        } catch (RuntimeException e) {
            weights.close();
            throw e;
        }
    }

    private void openFiles(Path folder) {
        Path single = folder.resolve(SINGLE_FILE);
        Path index = folder.resolve(INDEX_FILE);
        Map<String, long[]> expected = WeightNames.expected(config);
        if (Files.exists(single)) {
            SafetensorsFile file = open(single);
            nameEmbedding(
                    file.names().contains(WeightNames.EMBEDDING), file.names().contains(WeightNames.HEAD));
            expected.keySet().forEach(name -> fileOf.put(name, file));
        } else if (Files.exists(index)) {
            JsonFields map = JsonFields.read(index).object(WEIGHT_MAP).orElseThrow(() -> noWeightMap(index));
            nameEmbedding(map.has(WeightNames.EMBEDDING), map.has(WeightNames.HEAD));
            expected.keySet().forEach(name -> fileOf.put(name, open(shard(folder, map, stored(name)))));
        } else {
            throw new InvalidInputException("%s: has neither %s nor %s; convert the model to safetensors"
                    .formatted(folder, SINGLE_FILE, INDEX_FILE));
        }
        expected.forEach((name, shape) -> {
            DType dtype = fileOf.get(name).tensor(stored(name), shape).dtype();
            if (!dtype.widensToFloat()) {
                throw new InvalidInputException("%s: tensor '%s' has dtype %s; use the model's F32, F16 or BF16 weights"
                        .formatted(fileOf.get(name).path(), name, dtype));
            }
        });
    }

    private void nameEmbedding(boolean hasEmbedding, boolean hasHead) {
        if (config.tiedHead() && !hasEmbedding && hasHead) {
            embedding = WeightNames.HEAD;
        }
    }

    /** The name of a weight in the files. */
    private String stored(String name) {
        return name.equals(WeightNames.EMBEDDING) ? embedding : name;
    }

    private Tensor tensor(String name) {
        return file(name).tensor(stored(name));
    }

    private static Path shard(Path folder, JsonFields map, String tensor) {
        String name = map.string(tensor);
        if (name.isEmpty() || !Path.of(name).equals(Path.of(name).getFileName()) || name.equals("..")) {
            throw map.invalid(tensor, "the name of a file in the same folder is needed");
        }
        Path shard = folder.resolve(name);
        if (!Files.exists(shard)) {
            throw new InvalidInputException("%s: no such file, but %s says it holds '%s'; download all shards"
                    .formatted(shard, INDEX_FILE, tensor));
        }
        return shard;
    }

    private static InvalidInputException noWeightMap(Path index) {
        return new InvalidInputException(index + ": weight_map is missing; download it again");
    }

    private SafetensorsFile open(Path path) {
        return files.computeIfAbsent(path, SafetensorsFile::open);
    }

    /** A weight as an fp32 array of {@code manager}; it must be closed before these weights are. */
    NDArray load(NDManager manager, String name) {
        Tensor tensor = tensor(name);
        Shape shape = new Shape(tensor.shape());
        if (shareable(tensor)) {
            return manager.create(tensor.data().asByteBuffer().order(ByteOrder.nativeOrder()), shape, DataType.FLOAT32);
        }
        NDArray array = manager.create(shape, DataType.FLOAT32);
        file(name).readFloats(stored(name), Libtorch.memory(array));
        return array;
    }

    /** Whether libtorch can read the values where they are; a buffer holds no more than 2 GB. */
    private static boolean shareable(Tensor tensor) {
        return tensor.dtype() == DType.F32
                && ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN
                && tensor.data().byteSize() <= Integer.MAX_VALUE
                && tensor.data().address() % Float.BYTES == 0;
    }

    /** A weight of one dimension as an array of Java's. */
    float[] vector(String name) {
        float[] values = new float[Math.toIntExact(tensor(name).elements())];
        file(name).readFloats(stored(name), MemorySegment.ofArray(values));
        return values;
    }

    /** Copies one row of a matrix as fp32. */
    void row(String name, int row, MemorySegment destination) {
        file(name).readFloats(stored(name), row * (destination.byteSize() / Float.BYTES), destination);
    }

    private SafetensorsFile file(String name) {
        SafetensorsFile file = fileOf.get(name);
        if (file == null) {
            throw new IllegalArgumentException("the configuration has no weight " + name);
        }
        return file;
    }

    /** Number of all weights. */
    long parameters() {
        return fileOf.entrySet().stream()
                .mapToLong(e -> e.getValue().tensor(e.getKey()).elements())
                .sum();
    }

    /** Bytes of all weights in their files. */
    long byteSize() {
        return fileOf.keySet().stream()
                .mapToLong(name -> tensor(name).data().byteSize())
                .sum();
    }

    /** Bytes that {@link #load} takes beyond the mapped files, over the weights it is called for. */
    long widenedByteSize() {
        return fileOf.keySet().stream()
                .filter(name -> !name.equals(WeightNames.EMBEDDING) || config.tiedHead())
                .map(this::tensor)
                .filter(tensor -> !shareable(tensor))
                .mapToLong(tensor -> tensor.elements() * Float.BYTES)
                .sum();
    }

    /**
     * Identity of what the model computes, 32 hexadecimal digits: SHA-256 over the configuration and each tensor's name, shape and a
     * sample of its widened values, so that copies in other forms and precisions agree where their values do.
     */
    String fingerprint() {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JVM has SHA-256", e);
        }
        digest.update(config.canonical().getBytes(StandardCharsets.UTF_8));
        fileOf.forEach((name, file) -> {
            Tensor tensor = tensor(name);
            digest.update((name + Arrays.toString(tensor.shape())).getBytes(StandardCharsets.UTF_8));
            int length = (int) Math.min(SAMPLE_LENGTH, tensor.elements());
            MemorySegment run = MemorySegment.ofArray(new float[length]);
            for (int i = 0; i < SAMPLE_RUNS; i++) {
                file.readFloats(stored(name), (tensor.elements() - length) * i / (SAMPLE_RUNS - 1), run);
                digest.update(run.toArray(ValueLayout.JAVA_BYTE));
            }
        });
        return HexFormat.of().formatHex(digest.digest(), 0, 16);
    }

    @Override
    public void close() {
        files.values().forEach(SafetensorsFile::close);
    }
}
