package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
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
    /** The numbers of a byte of 2-bit levels. */
    private static final VectorSpecies<Float> QUAD = FloatVector.SPECIES_128;

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
    /** Of 2-bit levels, what each byte of four stands for: {@code [256, 4]}. */
    private final float[] quads;

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
        quads = new float[bits == 2 ? 4 << Byte.SIZE : 0];
        for (int i = 0; i < quads.length; i++) {
            quads[i] = levels[i / 4 >> i % 4 * bits & levels.length - 1];
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
            vector[d] *= signs[d];
        }
        Hadamard.transform(vector, run);
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
        float scale = Float.float16ToFloat(bytes.get(JAVA_SHORT_UNALIGNED, offset));
        if (bits == 1 && dHead % Long.SIZE == 0) {
            readSigns(bytes, offset + Short.BYTES, scale, vector);
        } else if (bits == 2) {
            readQuads(bytes, offset + Short.BYTES, scale, vector);
        } else {
            readLevels(bytes, offset, scale, vector);
        }
        Hadamard.transform(vector, run);
        for (int d = 0; d < dHead; d++) {
            vector[d] *= signs[d];
        }
    }

    /** Levels of a single bit, a vector of them at a time. */
    private void readSigns(MemorySegment bytes, long offset, float scale, float[] vector) {
        FloatVector low = FloatVector.broadcast(FLOATS, scale * levels[0]);
        FloatVector high = FloatVector.broadcast(FLOATS, scale * levels[1]);
        for (int first = 0; first < dHead; first += Long.SIZE) {
            long word = bytes.get(JAVA_LONG_UNALIGNED, offset + first / Byte.SIZE);
            for (int d = 0; d < Long.SIZE; d += FLOATS.length()) {
                low.blend(high, VectorMask.fromLong(FLOATS, word >>> d)).intoArray(vector, first + d);
            }
        }
    }

    /** Levels of two bits, a byte of them at a time. */
    private void readQuads(MemorySegment bytes, long offset, float scale, float[] vector) {
        for (int first = 0; first < dHead; first += 4) {
            int packed = Byte.toUnsignedInt(bytes.get(JAVA_BYTE, offset + first / 4));
            FloatVector.fromArray(QUAD, quads, 4 * packed).mul(scale).intoArray(vector, first);
        }
    }

    private void readLevels(MemorySegment bytes, long offset, float scale, float[] vector) {
        int mask = (1 << bits) - 1;
        for (int first = 0; first < dHead; first += Byte.SIZE) {
            long packed = 0;
            for (int b = 0; b < bits; b++) {
                long at = offset + Short.BYTES + (long) first / Byte.SIZE * bits + b;
                packed |= (bytes.get(JAVA_BYTE, at) & 0xFFL) << b * Byte.SIZE;
            }
            for (int i = 0; i < Byte.SIZE; i++) {
                vector[first + i] = scale * levels[(int) (packed >> i * bits) & mask];
            }
        }
    }
}
