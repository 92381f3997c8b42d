package io.sparrowkv.codec;

import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.MemorySegment;

/**
 * How one vector becomes bytes by itself, without a dictionary: the quantizers that sparse codes are measured against. Numbers are
 * little-endian. A codec has no state that changes, so any number of threads may use it.
 */
public interface VectorCodec {
    /** Name as options take it, such as {@code q4_0}. */
    String name();

    /** Width of a vector. */
    int dHead();

    /** Bytes of one vector. */
    int vectorBytes();

    /** Those of them that are scales. */
    int scaleBytes();

    /**
     * Packs a vector.
     *
     * @param vector {@code [dHead]}, finite; overwritten
     * @param bytes where {@link #vectorBytes} are written, from {@code offset} on
     * @throws InvalidInputException when a number is too large for the fp16 that the format keeps it in
     */
    void encode(float[] vector, MemorySegment bytes, long offset);

    /** Unpacks a vector into {@code vector}, {@code [dHead]}. */
    void decode(MemorySegment bytes, long offset, float[] vector);

    /**
     * A number as binary16.
     *
     * @throws InvalidInputException when it is too large
     */
    static short half(float x) {
        short half = Float.floatToFloat16(x);
        if (!Float.isFinite(Float.float16ToFloat(half))) {
            throw new InvalidInputException(
                    "%s is beyond the range of fp16; this codec cannot hold the model's keys and values".formatted(x));
        }
        return half;
    }
}
