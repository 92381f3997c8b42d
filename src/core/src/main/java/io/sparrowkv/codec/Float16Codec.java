package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.MemorySegment;

/** {@code f16}: each number as IEEE 754 binary16, 2 · dHead bytes a vector; what a dense cache usually keeps. */
public record Float16Codec(int dHead) implements VectorCodec {
    @Override
    public String name() {
        return "f16";
    }

    @Override
    public int vectorBytes() {
        return dHead * Short.BYTES;
    }

    @Override
    public int scaleBytes() {
        return 0;
    }

    @Override
    public void encode(float[] vector, MemorySegment bytes, long offset) {
        for (int d = 0; d < dHead; d++) {
            bytes.set(JAVA_SHORT_UNALIGNED, offset + (long) d * Short.BYTES, VectorCodec.half(vector[d]));
        }
    }

    @Override
    public void decode(MemorySegment bytes, long offset, float[] vector) {
        for (int d = 0; d < dHead; d++) {
            vector[d] = Float.float16ToFloat(bytes.get(JAVA_SHORT_UNALIGNED, offset + (long) d * Short.BYTES));
        }
    }
}
