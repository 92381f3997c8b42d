package io.sparrowkv.safetensors;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * One tensor: row-major, little-endian, without padding.
 *
 * @param shape dimensions; empty for a scalar
 * @param data exactly its bytes; of a tensor that was read, a read-only slice of the mapped file that lives as long as the file is
 *     open and need not be aligned to the element size
 */
public record Tensor(String name, DType dtype, long[] shape, MemorySegment data) {
    /** @throws IllegalArgumentException when dtype and shape do not give {@code data}'s size */
    public Tensor {
        long bytes = Math.multiplyExact(elements(shape), dtype.byteSize());
        if (bytes != data.byteSize()) {
            throw new IllegalArgumentException("tensor '%s': %s of shape %s takes %d bytes, not %d"
                    .formatted(name, dtype, Arrays.toString(shape), bytes, data.byteSize()));
        }
    }

    /** Number of elements. */
    public long elements() {
        return elements(shape);
    }

    static long elements(long[] shape) {
        long elements = 1;
        for (long dimension : shape) {
            if (dimension < 0) {
                throw new ArithmeticException("negative dimension " + dimension);
            }
            elements = Math.multiplyExact(elements, dimension);
        }
        return elements;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Tensor that
                && name.equals(that.name)
                && dtype == that.dtype
                && Arrays.equals(shape, that.shape)
                && data.mismatch(that.data) == -1;
    }

    @Override
    public int hashCode() {
        return 31 * name.hashCode() + Arrays.hashCode(shape);
    }

    @Override
    public String toString() {
        return name + " " + dtype + " " + Arrays.toString(shape);
    }
}
