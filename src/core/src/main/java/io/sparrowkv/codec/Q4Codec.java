package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.MemorySegment;

/**
 * {@code q4_0} of llama.cpp: blocks of {@link ScaledBlocks#of numbers} with one binary16 scale s, then two numbers a byte, those of
 * the block's first half in the low and those of its second half in the high nibbles; x = s · (q − 8), s = extreme / −8, so that the
 * number with the largest magnitude is met exactly.
 */
public record Q4Codec(int dHead) implements VectorCodec {
    private static final int OFFSET = 8;
    private static final int MOST = 15;

    /** @throws InvalidInputException when the width is odd */
    public Q4Codec {
        if (dHead % 2 != 0) {
            throw new InvalidInputException("q4_0 packs two numbers a byte; d_head is " + dHead + ", which is odd");
        }
    }

    @Override
    public String name() {
        return "q4_0";
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
        return Short.BYTES + ScaledBlocks.of(dHead) / 2;
    }

    @Override
    public void encode(float[] vector, MemorySegment bytes, long offset) {
        int size = ScaledBlocks.of(dHead);
        for (int first = 0; first < dHead; first += size) {
            long at = offset + (long) first / size * blockBytes();
            float scale = ScaledBlocks.extreme(vector, first, size) / -OFFSET;
            float inverse = scale == 0 ? 0 : 1 / scale;
            bytes.set(JAVA_SHORT_UNALIGNED, at, VectorCodec.half(scale));
            for (int i = 0; i < size / 2; i++) {
                int low = nibble(vector[first + i] * inverse);
                int high = nibble(vector[first + size / 2 + i] * inverse);
                bytes.set(JAVA_BYTE, at + Short.BYTES + i, (byte) (high << 4 | low));
            }
        }
    }

    private static int nibble(float scaled) {
        return Math.min(MOST, (int) (scaled + OFFSET + 0.5f));
    }

    @Override
    public void decode(MemorySegment bytes, long offset, float[] vector) {
        int size = ScaledBlocks.of(dHead);
        for (int first = 0; first < dHead; first += size) {
            long at = offset + (long) first / size * blockBytes();
            float scale = Float.float16ToFloat(bytes.get(JAVA_SHORT_UNALIGNED, at));
            for (int i = 0; i < size / 2; i++) {
                int two = bytes.get(JAVA_BYTE, at + Short.BYTES + i);
                vector[first + i] = scale * ((two & MOST) - OFFSET);
                vector[first + size / 2 + i] = scale * ((two >> 4 & MOST) - OFFSET);
            }
        }
    }
}
