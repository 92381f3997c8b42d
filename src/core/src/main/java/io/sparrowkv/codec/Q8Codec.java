package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.MemorySegment;

/**
 * {@code q8_0} of llama.cpp: blocks of {@link ScaledBlocks#of numbers} with one binary16 scale s, then each number as int8 q;
 * x = s · q, s = max|x| / 127.
 */
public record Q8Codec(int dHead) implements VectorCodec {
    private static final int LARGEST = 127;

    @Override
    public String name() {
        return "q8_0";
    }

    @Override
    public int vectorBytes() {
        return dHead / ScaledBlocks.of(dHead) * blockBytes();
    }

    @Override
    public int scaleBytes() {
        return dHead / ScaledBlocks.of(dHead) * Short.BYTES;
    }

    private int blockBytes() {
        return Short.BYTES + ScaledBlocks.of(dHead);
    }

    @Override
    public void encode(float[] vector, MemorySegment bytes, long offset) {
        int size = ScaledBlocks.of(dHead);
        for (int first = 0; first < dHead; first += size) {
            long at = offset + (long) first / size * blockBytes();
            float scale = Math.abs(ScaledBlocks.extreme(vector, first, size)) / LARGEST;
            float inverse = scale == 0 ? 0 : 1 / scale;
            bytes.set(JAVA_SHORT_UNALIGNED, at, VectorCodec.half(scale));
            for (int i = 0; i < size; i++) {
                bytes.set(JAVA_BYTE, at + Short.BYTES + i, (byte) Math.round(vector[first + i] * inverse));
            }
        }
    }

    @Override
    public void decode(MemorySegment bytes, long offset, float[] vector) {
        int size = ScaledBlocks.of(dHead);
        for (int first = 0; first < dHead; first += size) {
            long at = offset + (long) first / size * blockBytes();
            float scale = Float.float16ToFloat(bytes.get(JAVA_SHORT_UNALIGNED, at));
            for (int i = 0; i < size; i++) {
                vector[first + i] = scale * bytes.get(JAVA_BYTE, at + Short.BYTES + i);
            }
        }
    }
}
