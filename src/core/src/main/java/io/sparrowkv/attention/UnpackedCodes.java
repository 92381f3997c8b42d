package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.PairFormat;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * The codes of one KV head of a block, widened: the one place in attention that knows how a block packs them. They lie in arrays
 * on the heap, because a loop over pairs that reads them from memory segments takes twice as long: 1.7 ns a pair instead of 0.8.
 */
final class UnpackedCodes {
    /** 16-bit numbers, as many as a vector has floats. */
    private static final VectorSpecies<Short> SHORTS =
            VectorSpecies.of(short.class, VectorShape.forBitSize(Lanes.FLOATS.vectorBitSize() / 2));

    private static final int HALF_TO_FLOAT_SHIFT = 13;
    /** Of a sign-extended and shifted half: the sign, and exponent and fraction without the copies of the sign above them. */
    private static final int HALF_BITS = 0x8FFF_E000;

    private static final float HALF_TO_FLOAT_SCALE = 0x1p112f;

    /** Stride times the index of each pair, code after code. */
    final int[] offsets;

    /** The coefficient of each pair, likewise. */
    final float[] coefficients;

    /** The first pair of each code, and behind the last. */
    private final int[] starts = new int[CodeBlockLayout.TOKENS + 1];

    /** @param mostBudget largest budget of any layout read */
    UnpackedCodes(int mostBudget) {
        // The vectors that unpack the end of a row reach into the next.
        int pairs = CodeBlockLayout.TOKENS * mostBudget + Lanes.LANES;
        offsets = new int[pairs];
        coefficients = new float[pairs];
    }

    /** The first pair of a code. */
    int first(int token) {
        return starts[token];
    }

    /** Behind the last of the first {@code read} pairs of a code. */
    int end(int token, int read) {
        return Math.min(starts[token] + read, starts[token + 1]);
    }

    /**
     * Reads the first {@code count} codes of a head.
     *
     * @param stride what an index is multiplied by: the bytes of a row of what it indexes
     */
    void read(CodeBlockLayout layout, MemorySegment body, int head, int count, int stride) {
        if (layout.pairs().packed()) {
            readPacked(layout, body, head, count, stride);
        } else {
            readPlain(layout, body, head, count, stride);
        }
    }

    private void readPlain(CodeBlockLayout layout, MemorySegment body, int head, int count, int stride) {
        long indices = layout.rowOffset(body, head, 0);
        long halves = layout.coefficientOffset() + indices;
        for (int t = 0; t <= count; t++) {
            starts[t] = t * layout.budget();
        }
        int pairs = starts[count];
        int i = 0;
        for (; i <= pairs - Lanes.LANES; i += Lanes.LANES) {
            long at = (long) i * Short.BYTES;
            widen(body, indices + at, VectorOperators.ZERO_EXTEND_S2I)
                    .mul(stride)
                    .intoArray(offsets, i);
            // Exact for normal and subnormal halves alike: the shifted exponent is 112 too small,
            // which the product adds.
            widen(body, halves + at, VectorOperators.S2I)
                    .lanewise(VectorOperators.LSHL, HALF_TO_FLOAT_SHIFT)
                    .and(HALF_BITS)
                    .reinterpretAsFloats()
                    .mul(HALF_TO_FLOAT_SCALE)
                    .intoArray(coefficients, i);
        }
        for (; i < pairs; i++) {
            long at = (long) i * Short.BYTES;
            offsets[i] = stride * Short.toUnsignedInt(body.get(JAVA_SHORT_UNALIGNED, indices + at));
            coefficients[i] = Float.float16ToFloat(body.get(JAVA_SHORT_UNALIGNED, halves + at));
        }
    }

    private void readPacked(CodeBlockLayout layout, MemorySegment body, int head, int count, int stride) {
        PairFormat pairs = layout.pairs();
        long row = layout.rowOffset(body, head, 0);
        int to = 0;
        int found = layout.budget();
        int scaleOffset = layout.scaleOffset(found);
        int rowBytes = layout.rowBytes(found);
        for (int t = 0; t < count; t++) {
            if (pairs.counted()) {
                found = layout.pairs(body, head, t);
                scaleOffset = layout.scaleOffset(found);
                rowBytes = layout.rowBytes(found);
            }
            short scale = body.get(JAVA_SHORT_UNALIGNED, row + scaleOffset);
            float step = pairs.coefficients().step(scale);
            int zero = pairs.coefficients().zero(scale);
            if (pairs.bits() == Short.SIZE) {
                readShorts(pairs.indexBits(), body, row, found, to, stride, step, zero);
            } else {
                readBits(pairs.indexBits(), pairs.bits(), body, row, found, to, stride, step, zero);
            }
            starts[t] = to;
            to += found;
            row += rowBytes;
        }
        starts[count] = to;
    }

    /** A row whose pairs take 16 bits, as a 12-bit index and a 4-bit level do. */
    private void readShorts(
            int indexBits, MemorySegment body, long row, int found, int to, int stride, float step, int zero) {
        int mask = (1 << indexBits) - 1;
        int i = 0;
        for (; i < found && row + 2L * (i + Lanes.LANES) <= body.byteSize(); i += Lanes.LANES) {
            IntVector pair = widen(body, row + 2L * i, VectorOperators.ZERO_EXTEND_S2I);
            pair.and(mask).mul(stride).intoArray(offsets, to + i);
            ((FloatVector) pair.lanewise(VectorOperators.LSHR, indexBits)
                            .sub(zero)
                            .convert(VectorOperators.I2F, 0))
                    .mul(step)
                    .intoArray(coefficients, to + i);
        }
        for (; i < found; i++) {
            int pair = Short.toUnsignedInt(body.get(JAVA_SHORT_UNALIGNED, row + 2L * i));
            offsets[to + i] = (pair & mask) * stride;
            coefficients[to + i] = step * ((pair >>> indexBits) - zero);
        }
    }

    private void readBits(
            int indexBits,
            int bits,
            MemorySegment body,
            long row,
            int found,
            int to,
            int stride,
            float step,
            int zero) {
        int indexMask = (1 << indexBits) - 1;
        int levelMask = (1 << bits - indexBits) - 1;
        for (int i = 0; i < found; i++) {
            int bit = i * bits;
            int pair = body.get(JAVA_INT_UNALIGNED, row + (bit >>> 3)) >>> (bit & 7);
            offsets[to + i] = (pair & indexMask) * stride;
            coefficients[to + i] = step * ((pair >>> indexBits & levelMask) - zero);
        }
    }

    private static IntVector widen(
            MemorySegment shorts, long offset, VectorOperators.Conversion<Short, Integer> conversion) {
        return (IntVector) ShortVector.fromMemorySegment(SHORTS, shorts, offset, Lanes.ORDER)
                .convertShape(conversion, Lanes.INTS, 0);
    }
}
