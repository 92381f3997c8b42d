package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.SplittableRandom;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * {@code rotated-1} to {@code rotated-4}: a random rotation makes the numbers of any vector nearly Gaussian, and a scalar quantizer
 * that is optimal for a Gaussian (Lloyd–Max: Max, 1960) takes 1 to 4 bits of each; so TurboQuant (arXiv 2504.19874) and its kin.
 *
 * <pre>
 * offset  type                              content
 * 0       IEEE 754 binary16                 scale
 * 2       bits [dHead], the first lowest    level of each number after rotation, the lowest level 0
 * </pre>
 *
 * <p>The rotation is seeded signs, then a normalised Hadamard transform of each run of 2^k numbers, 2^k the largest power of two that
 * divides dHead; a vector is scale · rotation⁻¹(levels). The scale is the one that leaves the least squared error for the levels.
 */
public final class RotatedCodec implements VectorCodec {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, FLOATS.vectorShape());
    private static final int LANES = FLOATS.length();
    private static final VectorMask<Integer> UPPER_HALF = VectorMask.fromLong(INTS, (1L << LANES) - (1L << LANES / 2));

    private static final long SEED = 0x5EED_0F51_6E5L;

    /** Positive levels for the unit Gaussian by bits, from the lowest (Max, 1960, table I); negative ones mirror them. */
    private static final float[][] POSITIVE_LEVELS = {
        {},
        {0.7979f},
        {0.4528f, 1.510f},
        {0.2451f, 0.7560f, 1.344f, 2.152f},
        {0.1284f, 0.3881f, 0.6568f, 0.9424f, 1.256f, 1.618f, 2.069f, 2.733f}
    };

    private final int dHead;
    private final int bits;
    private final int run;
    private final float[] signs;
    private final float[] levels;
    /** Between neighbouring levels: half way, which is where Lloyd–Max decides. */
    private final float[] thresholds;
    /** What each lane shifts its level down by. */
    private final int[] shifts = new int[LANES];
    /** The levels as a vector of bits. */
    private final int[] levelBits = new int[LANES];
    /** Numbers that may be unpacked a vector at a time: none where a vector takes a part of a byte, or is shorter than the levels. */
    private final int vectorized;

    /**
     * @param bits of a number, 1 to 4
     * @throws InvalidInputException when the width is odd or the bits do not fill whole bytes
     */
    public RotatedCodec(int dHead, int bits) {
        if (bits < 1 || bits >= POSITIVE_LEVELS.length) {
            throw new InvalidInputException("rotated-" + bits + ": choose 1 to 4 bits");
        }
        if (dHead % Byte.SIZE != 0) {
            throw new InvalidInputException("rotated codecs pack eight numbers at a time; d_head is " + dHead);
        }
        this.dHead = dHead;
        this.bits = bits;
        run = Integer.lowestOneBit(dHead);
        signs = new float[dHead];
        SplittableRandom random = new SplittableRandom(SEED);
        float norm = (float) (1 / Math.sqrt(run));
        for (int d = 0; d < dHead; d++) {
            signs[d] = random.nextBoolean() ? norm : -norm;
        }
        float[] positive = POSITIVE_LEVELS[bits];
        levels = new float[2 * positive.length];
        for (int i = 0; i < positive.length; i++) {
            levels[positive.length + i] = positive[i];
            levels[positive.length - 1 - i] = -positive[i];
        }
        thresholds = new float[levels.length - 1];
        for (int i = 0; i < thresholds.length; i++) {
            thresholds[i] = (levels[i] + levels[i + 1]) / 2;
        }
        boolean wholeBytes = LANES * bits % Byte.SIZE == 0 && LANES <= 2 * Byte.SIZE;
        vectorized = wholeBytes && levels.length <= LANES ? dHead : 0;
        int lanesOfWord = LANES * bits <= Integer.SIZE ? LANES : LANES / 2;
        for (int lane = 0; lane < LANES && vectorized > 0; lane++) {
            shifts[lane] = lane % lanesOfWord * bits;
            levelBits[lane] = Float.floatToRawIntBits(levels[lane % levels.length]);
        }
    }

    @Override
    public String name() {
        return "rotated-" + bits;
    }

    @Override
    public int dHead() {
        return dHead;
    }

    @Override
    public int vectorBytes() {
        return Short.BYTES + dHead * bits / Byte.SIZE;
    }

    @Override
    public int scaleBytes() {
        return Short.BYTES;
    }

    @Override
    public void encode(float[] vector, MemorySegment bytes, long offset) {
        double square = 0;
        for (int d = 0; d < dHead; d++) {
            square += (double) vector[d] * vector[d];
        }
        rotate(vector);
        float inverse = square == 0 ? 0 : (float) (Math.sqrt(dHead) / Math.sqrt(square));
        double along = 0;
        double levelSquare = 0;
        for (int first = 0; first < dHead; first += Byte.SIZE) {
            long packed = 0;
            for (int i = 0; i < Byte.SIZE; i++) {
                int level = level(vector[first + i] * inverse);
                along += (double) levels[level] * vector[first + i];
                levelSquare += levels[level] * levels[level];
                packed |= (long) level << i * bits;
            }
            for (int b = 0; b < bits; b++) {
                long at = offset + Short.BYTES + (long) first / Byte.SIZE * bits + b;
                bytes.set(JAVA_BYTE, at, (byte) (packed >> b * Byte.SIZE));
            }
        }
        bytes.set(JAVA_SHORT_UNALIGNED, offset, VectorCodec.half((float) (along / levelSquare)));
    }

    private int level(float x) {
        int level = 0;
        for (float threshold : thresholds) {
            level += x > threshold ? 1 : 0;
        }
        return level;
    }

    @Override
    public void decode(MemorySegment bytes, long offset, float[] vector) {
        float scale = scale(bytes, offset);
        long at = offset + Short.BYTES;
        int d = 0;
        for (; d <= vectorized - LANES; d += LANES) {
            levels(bytes, at + (long) d * bits / Byte.SIZE).mul(scale).intoArray(vector, d);
        }
        for (; d < dHead; d += Byte.SIZE) {
            long packed = eight(bytes, at + (long) d * bits / Byte.SIZE);
            for (int i = 0; i < Byte.SIZE; i++) {
                vector[d + i] = scale * level(packed, i);
            }
        }
        rotateBack(vector);
    }

    /**
     * Unpacks vectors as they are after the rotation: their levels times their scales. All vectors' numbers of one column come before
     * those of the next: loops over a vector at a time took three times as long, since most of it was their beginning and end.
     *
     * @param offsets where each vector begins in {@code bytes}
     * @param rows written, fp32 {@code [count, dHead]}
     */
    public void decodeRotated(MemorySegment bytes, long[] offsets, int count, MemorySegment rows) {
        long rowBytes = (long) dHead * Float.BYTES;
        int d = 0;
        for (; d <= vectorized - LANES; d += LANES) {
            long at = Short.BYTES + (long) d * bits / Byte.SIZE;
            long to = (long) d * Float.BYTES;
            for (int t = 0; t < count; t++) {
                levels(bytes, offsets[t] + at)
                        .mul(scale(bytes, offsets[t]))
                        .intoMemorySegment(rows, to + t * rowBytes, ByteOrder.nativeOrder());
            }
        }
        for (; d < dHead; d += Byte.SIZE) {
            long at = Short.BYTES + (long) d * bits / Byte.SIZE;
            for (int t = 0; t < count; t++) {
                float scale = scale(bytes, offsets[t]);
                long packed = eight(bytes, offsets[t] + at);
                for (int i = 0; i < Byte.SIZE; i++) {
                    long to = t * rowBytes + (long) (d + i) * Float.BYTES;
                    rows.set(JAVA_FLOAT_UNALIGNED, to, scale * level(packed, i));
                }
            }
        }
    }

    /** Rotates {@code vector}, {@code [dHead]}, in place; products of rotated vectors are those of the vectors. */
    public void rotate(float[] vector) {
        for (int d = 0; d < dHead; d++) {
            vector[d] *= signs[d];
        }
        Hadamard.transform(vector, run);
    }

    /** The inverse of {@link #rotate}. */
    public void rotateBack(float[] vector) {
        Hadamard.transform(vector, run);
        for (int d = 0; d < dHead; d++) {
            vector[d] *= signs[d];
        }
    }

    private static float scale(MemorySegment bytes, long offset) {
        return Float.float16ToFloat(bytes.get(JAVA_SHORT_UNALIGNED, offset));
    }

    /** The levels of eight numbers, the first lowest. */
    private long eight(MemorySegment bytes, long at) {
        long packed = 0;
        for (int b = 0; b < bits; b++) {
            packed |= (bytes.get(JAVA_BYTE, at + b) & 0xFFL) << b * Byte.SIZE;
        }
        return packed;
    }

    private float level(long packed, int i) {
        return levels[(int) (packed >> i * bits) & levels.length - 1];
    }

    /**
     * The levels of a vector's numbers, the first of them at a whole byte: each lane shifts its own down and looks it up in a register.
     * Looked up in memory, a byte of levels at a time, a vector of 128 took four times as long.
     */
    private FloatVector levels(MemorySegment bytes, long at) {
        IntVector packed;
        if (LANES * bits <= Integer.SIZE) {
            packed = IntVector.broadcast(INTS, word(bytes, at, LANES * bits / Byte.SIZE));
        } else {
            packed = IntVector.broadcast(INTS, word(bytes, at, bits)).blend(word(bytes, at + bits, bits), UPPER_HALF);
        }
        return packed.lanewise(VectorOperators.LSHR, IntVector.fromArray(INTS, shifts, 0))
                .and((1 << bits) - 1)
                .selectFrom(IntVector.fromArray(INTS, levelBits, 0))
                .reinterpretAsFloats();
    }

    /** {@code count} bytes, the first lowest; the scale lies before any of them, so that a byte more may be read there. */
    private static int word(MemorySegment bytes, long at, int count) {
        return switch (count) {
            case 1 -> bytes.get(JAVA_BYTE, at);
            case 2 -> bytes.get(JAVA_SHORT_UNALIGNED, at);
            case 3 -> bytes.get(JAVA_INT_UNALIGNED, at - 1) >>> Byte.SIZE;
            default -> bytes.get(JAVA_INT_UNALIGNED, at);
        };
    }
}
