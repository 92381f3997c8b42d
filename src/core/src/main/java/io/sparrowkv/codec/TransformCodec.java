package io.sparrowkv.codec;

import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

/**
 * A transform coder after KVTC (arXiv 2511.01815) for the vectors of one site, a block at a time: principal axes, one uniform step for
 * all coordinates, and DEFLATE. With one step an axis gets bits as its variance exceeds the step, none when it does not: the reverse
 * water-filling that is best for a given rate, left to the entropy coder. Blocks differ in length. It is a codec for storage: to read
 * one vector a whole block is unpacked.
 *
 * <p>A block's bytes are a raw DEFLATE stream of the quantized coordinates, axis after axis, and of each axis vector after vector:
 * zigzag (0, −1, 1, −2, …) in one byte below 255; 255 and the zigzag as a little-endian int32 from 255 on.
 *
 * @param axes of the site's vectors
 * @param step between two levels of a coordinate, above 0
 */
public record TransformCodec(PrincipalAxes axes, float step) {
    private static final int ESCAPE = 255;

    public TransformCodec {
        if (!(step > 0) || !Float.isFinite(step)) {
            throw new IllegalArgumentException("step " + step);
        }
    }

    /**
     * Packs vectors.
     *
     * @param vectors {@code [count, dHead]}, finite
     */
    public byte[] encode(float[] vectors, int count) {
        int dHead = axes.dHead();
        float[] coordinates = new float[dHead];
        int[] levels = new int[count * dHead];
        for (int t = 0; t < count; t++) {
            axes.project(vectors, t * dHead, coordinates);
            for (int axis = 0; axis < dHead; axis++) {
                levels[axis * count + t] = Math.round(coordinates[axis] / step);
            }
        }
        return deflate(levels);
    }

    /**
     * Unpacks vectors.
     *
     * @param vectors written, {@code [count, dHead]}
     * @throws IllegalStateException when the bytes are not those of {@code count} vectors
     */
    public void decode(byte[] bytes, int count, float[] vectors) {
        int dHead = axes.dHead();
        int[] levels = inflate(bytes, count * dHead);
        float[] coordinates = new float[dHead];
        for (int t = 0; t < count; t++) {
            for (int axis = 0; axis < dHead; axis++) {
                coordinates[axis] = levels[axis * count + t] * step;
            }
            axes.restore(coordinates, vectors, t * dHead);
        }
    }

    private static byte[] deflate(int[] levels) {
        ByteBuffer plain =
                ByteBuffer.allocate(levels.length * (1 + Integer.BYTES)).order(ByteOrder.LITTLE_ENDIAN);
        for (int level : levels) {
            int zigzag = level << 1 ^ level >> 31;
            if (zigzag >= 0 && zigzag < ESCAPE) {
                plain.put((byte) zigzag);
            } else {
                plain.put((byte) ESCAPE).putInt(zigzag);
            }
        }
        try (Deflater deflater = new Deflater(Deflater.BEST_COMPRESSION, true)) {
            deflater.setInput(plain.flip());
            deflater.finish();
            byte[] bytes = new byte[plain.limit() + 64];
            int length = 0;
            while (!deflater.finished()) {
                if (length == bytes.length) {
                    bytes = Arrays.copyOf(bytes, 2 * length);
                }
                length += deflater.deflate(bytes, length, bytes.length - length);
            }
            return Arrays.copyOf(bytes, length);
        }
    }

    private static int[] inflate(byte[] bytes, int count) {
        int[] levels = new int[count];
        byte[] plain = new byte[count * (1 + Integer.BYTES)];
        int length = 0;
        try (Inflater inflater = new Inflater(true)) {
            inflater.setInput(bytes);
            while (!inflater.finished() && length < plain.length) {
                int more = inflater.inflate(plain, length, plain.length - length);
                if (more == 0 && (inflater.needsInput() || inflater.needsDictionary())) {
                    break;
                }
                length += more;
            }
        } catch (DataFormatException e) {
            throw new IllegalStateException("a block is no DEFLATE stream: " + e.getMessage(), e);
        }
        ByteBuffer read = ByteBuffer.wrap(plain, 0, length).order(ByteOrder.LITTLE_ENDIAN);
        try {
            for (int i = 0; i < count; i++) {
                int zigzag = Byte.toUnsignedInt(read.get());
                zigzag = zigzag == ESCAPE ? read.getInt() : zigzag;
                levels[i] = zigzag >>> 1 ^ -(zigzag & 1);
            }
        } catch (BufferUnderflowException e) {
            throw new IllegalStateException("a block holds fewer than " + count + " coordinates", e);
        }
        return levels;
    }
}
