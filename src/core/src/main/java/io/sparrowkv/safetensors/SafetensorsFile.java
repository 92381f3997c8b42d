package io.sparrowkv.safetensors;

import io.sparrowkv.io.InvalidInputException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.Set;

/**
 * A safetensors file, memory-mapped read-only. Layout: an unsigned 64-bit little-endian header length n, n bytes of JSON that give
 * each tensor's dtype, shape and byte range, and the tensors' bytes, in a row and to the end of the file
 * (<a href="https://github.com/huggingface/safetensors#format">format</a>).
 *
 * <p>Everything the header says is checked on opening, so that a tensor obtained here is whole.
 */
public final class SafetensorsFile implements AutoCloseable {
    static final int PREFIX_BYTES = Long.BYTES;

    private static final ValueLayout.OfLong LITTLE_ENDIAN_LONG =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Path path;
    private final Arena arena;
    private final SafetensorsHeader header;

    private SafetensorsFile(Path path, Arena arena, SafetensorsHeader header) {
        this.path = path;
        this.arena = arena;
        this.header = header;
    }

    /**
     * Maps and checks a file.
     *
     * @throws InvalidInputException when it is missing, truncated or not as the format says
     */
    public static SafetensorsFile open(Path path) {
        if (Files.isDirectory(path)) {
            throw new InvalidInputException(path + ": is a folder; name a safetensors file");
        }
        Arena arena = Arena.ofShared();
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            long size = channel.size();
            if (size < PREFIX_BYTES) {
                throw new InvalidInputException(
                        "%s: is %d bytes long, too short for a safetensors file; download it again"
                                .formatted(path, size));
            }
            MemorySegment file = channel.map(FileChannel.MapMode.READ_ONLY, 0, size, arena);
            SafetensorsHeader header = SafetensorsHeader.parse(path, file.get(LITTLE_ENDIAN_LONG, 0), file);
            return new SafetensorsFile(path, arena, header);
        } catch (NoSuchFileException e) {
            arena.close();
            throw new InvalidInputException(path + ": no such file; check the path", e);
        } catch (IOException e) {
            arena.close();
            throw new InvalidInputException(
                    "%s: cannot be read (%s); check its permissions".formatted(path, e.getMessage()), e);
        } catch (RuntimeException e) {
            arena.close();
            throw e;
        }
    }

    public Path path() {
        return path;
    }

    /** Names of all tensors, in the order of the header. */
    public Set<String> names() {
        return Collections.unmodifiableSet(header.tensors().keySet());
    }

    /** The header's {@code __metadata__}; empty when there is none. */
    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(header.metadata());
    }

    /**
     * A tensor, sharing the mapped file.
     *
     * @throws InvalidInputException when there is none of that name
     */
    public Tensor tensor(String name) {
        Tensor tensor = header.tensors().get(name);
        if (tensor == null) {
            throw new InvalidInputException(
                    "%s: tensor '%s' is missing; use a complete copy of the file".formatted(path, name));
        }
        return tensor;
    }

    /**
     * A tensor of a given shape.
     *
     * @throws InvalidInputException when there is none of that name, or its shape is another
     */
    public Tensor tensor(String name, long... shape) {
        Tensor tensor = tensor(name);
        if (!Arrays.equals(tensor.shape(), shape)) {
            throw new InvalidInputException(
                    "%s: tensor '%s' has shape %s where %s is needed; the file belongs to another model"
                            .formatted(path, name, Arrays.toString(tensor.shape()), Arrays.toString(shape)));
        }
        return tensor;
    }

    /**
     * Copies a tensor's values as fp32 in native byte order, on all cores unless {@code destination} is confined to this
     * thread.
     *
     * @param destination takes exactly the tensor's elements
     * @throws InvalidInputException when the tensor is missing, or its dtype is none of F32, F16, BF16
     */
    public void readFloats(String name, MemorySegment destination) {
        Tensor tensor = floats(name);
        FloatConversion.widen(tensor.dtype(), tensor.data(), destination);
    }

    /**
     * Copies a run of a tensor's values, such as a row, as fp32 in native byte order.
     *
     * @param first index of the first element
     * @param destination its size gives the number of elements
     * @throws InvalidInputException when the tensor is missing, or its dtype is none of F32, F16, BF16
     * @throws IndexOutOfBoundsException when the run is not within the tensor
     */
    public void readFloats(String name, long first, MemorySegment destination) {
        Tensor tensor = floats(name);
        int size = tensor.dtype().byteSize();
        long elements = destination.byteSize() / Float.BYTES;
        FloatConversion.widen(tensor.dtype(), tensor.data().asSlice(first * size, elements * size), destination);
    }

    private Tensor floats(String name) {
        Tensor tensor = tensor(name);
        if (!tensor.dtype().widensToFloat()) {
            throw new InvalidInputException("%s: tensor '%s' has dtype %s; F32, F16 and BF16 can be read"
                    .formatted(path, name, tensor.dtype()));
        }
        return tensor;
    }

    /** Unmaps the file: its tensors' data can no longer be read. */
    @Override
    public void close() {
        arena.close();
    }
}
