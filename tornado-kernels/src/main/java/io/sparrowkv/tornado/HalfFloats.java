package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.MemorySegment;
import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/**
 * IEEE 754 binary16 numbers on devices without that type, which OpenCL leaves to each (NVIDIA's and PoCL's have none): as 16-bit
 * integers, and exactly what they are as soon as they are widened, by a table with a factor for each sign and exponent.
 */
final class HalfFloats {
    private static final int EXPONENTS = 32;
    private static final int FRACTION_BITS = 10;
    private static final int HIDDEN_BIT = 1 << FRACTION_BITS;
    private static final int FRACTION = HIDDEN_BIT - 1;
    private static final int BIAS = 15;

    private HalfFloats() {}

    /** The table that {@link #value} needs: the value of a fraction's last bit, by sign and exponent. */
    static FloatArray scales() {
        FloatArray scales = new FloatArray(2 * EXPONENTS);
        for (int exponent = 0; exponent < EXPONENTS; exponent++) {
            // Subnormal numbers, of exponent 0, have the last bit of exponent 1.
            float scale = Math.scalb(1f, Math.max(1, exponent) - BIAS - FRACTION_BITS);
            scales.set(exponent, scale);
            scales.set(EXPONENTS + exponent, -scale);
        }
        return scales;
    }

    /** The finite number that the low 16 bits of {@code half} encode; for kernels. */
    static float value(FloatArray scales, int half) {
        int bits = unsigned(half);
        int hidden = (bits >> FRACTION_BITS) % EXPONENTS == 0 ? 0 : HIDDEN_BIT;
        return scales.get(bits >> FRACTION_BITS) * ((bits & FRACTION) + hidden);
    }

    /** What a 16-bit number is without its sign; for kernels, where a mask would be turned into a widening that TornadoVM 5.2 cannot compile. */
    static int unsigned(int number) {
        return number < 0 ? number + (1 << Short.SIZE) : number;
    }

    /** Whether binary16 holds all of these fp32 numbers exactly. */
    static boolean exact(MemorySegment floats) {
        for (long i = 0; i < floats.byteSize() / Float.BYTES; i++) {
            float value = floats.getAtIndex(JAVA_FLOAT, i);
            if (!Float.isFinite(value) || Float.float16ToFloat(Float.floatToFloat16(value)) != value) {
                return false;
            }
        }
        return true;
    }

    /**
     * Widens the batch's dictionary.
     *
     * <p>Device class: any. Launch: the parallel loop, one work item a number.
     *
     * @param batch {@link BatchField}s; receives the number of the batch it ran for
     * @param halves {@code [slots, size]}
     * @param weights {@code [size]}
     * @param size numbers of a dictionary
     */
    static void widen(IntArray batch, ShortArray halves, FloatArray scales, FloatArray weights, int size) {
        for (@Parallel int i = 0; i < size; i++) {
            float weight = value(scales, halves.get(batch.get(BatchField.SLOT) * size + i));
            weights.set(i, WrittenThenRead.value(weights, i, weight, batch.get(BatchField.SEQUENCE)));
        }
        batch.set(BatchField.WIDENED, batch.get(BatchField.SEQUENCE));
    }

    /**
     * Makes the weights an input of a graph, which copies them to the device and leaves them there.
     *
     * <p>Device class: any. Launch: one work item.
     *
     * @param touched receives the integer at {@code mark}
     */
    static void touch(ShortArray halves, FloatArray touched, int mark) {
        for (@Parallel int i = 0; i < 1; i++) {
            touched.set(i, halves.get(mark));
        }
    }
}
