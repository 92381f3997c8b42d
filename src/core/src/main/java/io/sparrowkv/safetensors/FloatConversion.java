package io.sparrowkv.safetensors;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.stream.IntStream;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** Conversion between little-endian F32, F16, BF16 and fp32 in native byte order. */
final class FloatConversion {
    private static final ByteOrder LITTLE = ByteOrder.LITTLE_ENDIAN;
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT_LE = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE);
    private static final ValueLayout.OfFloat FLOAT_LE = FLOAT.withOrder(LITTLE);

    /** Elements of one piece of work: large enough to pay for a task, small enough to share among cores. */
    private static final long PIECE = 1L << 20;

    private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Short> SHORTS =
            VectorSpecies.of(short.class, VectorShape.forBitSize(INTS.vectorBitSize() / 2));
    /** Stands for any worker: a segment of a confined arena is for its owner alone. */
    private static final Thread OTHER = Thread.ofPlatform().unstarted(() -> {});

    private FloatConversion() {}

    static void widen(DType dtype, MemorySegment source, MemorySegment destination) {
        long elements = source.byteSize() / dtype.byteSize();
        if (destination.byteSize() != elements * Float.BYTES) {
            throw new IllegalArgumentException(
                    "%d elements do not fit in %d bytes of fp32".formatted(elements, destination.byteSize()));
        }
        boolean parallel = elements > PIECE && destination.isAccessibleBy(OTHER) && source.isAccessibleBy(OTHER);
        forEachPiece(elements, parallel, (from, count) -> {
            MemorySegment in = source.asSlice(from * dtype.byteSize(), count * dtype.byteSize());
            MemorySegment out = destination.asSlice(from * Float.BYTES, count * Float.BYTES);
            switch (dtype) {
                case F32 -> MemorySegment.copy(in, FLOAT_LE, 0, out, FLOAT, 0, count);
                case F16 -> widenHalf(in, out, (int) count);
                case BF16 -> widenBrain(in, out, (int) count);
                default -> throw new IllegalArgumentException(dtype + " does not widen to fp32");
            }
        });
    }

    /** Rounds fp32 to F16 or BF16, to nearest, ties to even; what is too large becomes infinite. */
    static void narrow(DType dtype, MemorySegment source, MemorySegment destination) {
        long elements = source.byteSize() / Float.BYTES;
        for (long i = 0; i < elements; i++) {
            float value = source.get(FLOAT_LE, i * Float.BYTES);
            short half = dtype == DType.F16 ? Float.floatToFloat16(value) : toBrain(value);
            destination.set(SHORT_LE, i * Short.BYTES, half);
        }
    }

    static short toBrain(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            return (short) (bits >>> 16 | 0x40); // stays a NaN when the low half is cut off
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    private static void widenBrain(MemorySegment in, MemorySegment out, int count) {
        int bound = INTS.loopBound(count);
        for (int i = 0; i < bound; i += INTS.length()) {
            bits(in, i).lanewise(VectorOperators.LSHL, 16).intoMemorySegment(out, 4L * i, ByteOrder.nativeOrder());
        }
        for (int i = bound; i < count; i++) {
            out.set(FLOAT, 4L * i, Float.intBitsToFloat(in.get(SHORT_LE, 2L * i) << 16));
        }
    }

    private static void widenHalf(MemorySegment in, MemorySegment out, int count) {
        for (int i = 0; i < count; i++) {
            out.set(FLOAT, 4L * i, Float.float16ToFloat(in.get(SHORT_LE, 2L * i)));
        }
    }

    private static IntVector bits(MemorySegment in, int index) {
        ShortVector halves = ShortVector.fromMemorySegment(SHORTS, in, 2L * index, LITTLE);
        return (IntVector) halves.convertShape(VectorOperators.ZERO_EXTEND_S2I, INTS, 0);
    }

    private interface Piece {
        void convert(long from, long count);
    }

    private static void forEachPiece(long elements, boolean parallel, Piece piece) {
        IntStream pieces = IntStream.range(0, Math.toIntExact((elements + PIECE - 1) / PIECE));
        (parallel ? pieces.parallel() : pieces)
                .forEach(i -> piece.convert(i * PIECE, Math.min(PIECE, elements - i * PIECE)));
    }
}
