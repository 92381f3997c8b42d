package io.sparrowkv.safetensors;

import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.InvalidInputException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Writes a safetensors file, whole or not at all, as Hugging Face's writer does: the header padded with spaces to 8 bytes, wider
 * dtypes first, so that every tensor is aligned to its element size.
 */
public final class SafetensorsWriter {
    private static final JsonMapper JSON = JsonMapper.shared();

    /** Bytes converted and written at once. */
    private static final long PIECE = 1L << 24;

    private record Entry(Tensor tensor, DType dtype) {
        long byteSize() {
            return tensor.elements() * dtype.byteSize();
        }
    }

    private final Map<String, String> metadata = new LinkedHashMap<>();
    private final Map<String, Entry> entries = new LinkedHashMap<>();

    /** Adds an entry of {@code __metadata__}. */
    public SafetensorsWriter metadata(String key, String value) {
        metadata.put(key, value);
        return this;
    }

    /** Adds a tensor whose data is written as it is. */
    public SafetensorsWriter add(Tensor tensor) {
        return add(tensor, tensor.dtype());
    }

    /**
     * Adds a tensor of fp32 values, stored as {@code dtype} rounded to nearest even.
     *
     * @param dtype F32, F16 or BF16
     * @param values fp32, little-endian, row-major; it must stay as it is until {@link #write}
     * @throws IllegalArgumentException when the size of {@code values} is not the shape's
     */
    public SafetensorsWriter add(String name, DType dtype, long[] shape, MemorySegment values) {
        if (!dtype.widensToFloat()) {
            throw new IllegalArgumentException("fp32 is not stored as " + dtype);
        }
        return add(new Tensor(name, DType.F32, shape, values), dtype);
    }

    private SafetensorsWriter add(Tensor tensor, DType dtype) {
        if (entries.putIfAbsent(tensor.name(), new Entry(tensor, dtype)) != null) {
            throw new IllegalArgumentException("two tensors named " + tensor.name());
        }
        return this;
    }

    /**
     * Writes the file.
     *
     * @throws InvalidInputException when it cannot be written
     */
    public void write(Path path) {
        List<Entry> ordered = new ArrayList<>(entries.values());
        ordered.sort(Comparator.comparingInt((Entry e) -> e.dtype.byteSize()).reversed());
        try (AtomicFile file = AtomicFile.create(path)) {
            writeFully(file.channel(), header(ordered));
            for (Entry entry : ordered) {
                writeTensor(file.channel(), entry);
            }
            file.commit();
        } catch (IOException e) {
            throw new InvalidInputException(
                    "%s: cannot be written (%s); free space or choose another folder".formatted(path, e.getMessage()),
                    e);
        }
    }

    private ByteBuffer header(List<Entry> ordered) {
        ObjectNode root = JSON.createObjectNode();
        if (!metadata.isEmpty()) {
            ObjectNode node = root.putObject(SafetensorsHeader.METADATA);
            metadata.forEach(node::put);
        }
        long offset = 0;
        for (Entry entry : ordered) {
            ObjectNode node = root.putObject(entry.tensor.name());
            node.put(SafetensorsHeader.DTYPE, entry.dtype.name());
            ArrayNode shape = node.putArray(SafetensorsHeader.SHAPE);
            for (long dimension : entry.tensor.shape()) {
                shape.add(dimension);
            }
            node.putArray(SafetensorsHeader.OFFSETS).add(offset).add(offset + entry.byteSize());
            offset += entry.byteSize();
        }
        byte[] json = JSON.writeValueAsString(root).getBytes(StandardCharsets.UTF_8);
        int padded = (json.length + 7) / 8 * 8;
        ByteBuffer header =
                ByteBuffer.allocate(SafetensorsFile.PREFIX_BYTES + padded).order(ByteOrder.LITTLE_ENDIAN);
        header.putLong(padded).put(json);
        while (header.hasRemaining()) {
            header.put((byte) ' ');
        }
        return header.flip();
    }

    private static void writeTensor(FileChannel channel, Entry entry) throws IOException {
        Tensor tensor = entry.tensor;
        long step = PIECE / Long.BYTES;
        // Always through a buffer of our own: a channel takes no slice of every array that a segment may stand on.
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(PIECE);
            for (long from = 0; from < tensor.elements(); from += step) {
                long count = Math.min(step, tensor.elements() - from);
                int size = tensor.dtype().byteSize();
                MemorySegment source = tensor.data().asSlice(from * size, count * size);
                MemorySegment target = buffer.asSlice(0, count * entry.dtype.byteSize());
                if (tensor.dtype() == entry.dtype) {
                    target.copyFrom(source);
                } else {
                    FloatConversion.narrow(entry.dtype, source, target);
                }
                writeFully(channel, target.asByteBuffer());
            }
        }
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }
}
