package io.sparrowkv.encode;

import io.sparrowkv.io.InvalidInputException;

/**
 * What the coefficients of a code are kept as: a binary16 each, or levels of a few bits that share one scale.
 *
 * <p>With b bits a coefficient is {@code step · (level − zero)}, level 0 to 2^b − 1, {@code step = |scale| / steps}. The scale is a
 * binary16, the largest coefficient itself, and its sign tells where zero is:
 *
 * <pre>
 * scale   zero            steps            reach
 * ≥ 0     2^(b − 3)       7 · 2^(b − 3) − 1   from −1/7 of the scale, or a little more, to the scale
 * &lt; 0     2^(b − 1) − 1   2^(b − 1) − 1    from −scale to the scale
 * </pre>
 *
 * <p>Nearly all coefficients are positive, and those that a refinement makes negative are small: the first kind spends few levels on
 * them. {@link #scale} takes the kind that leaves the smaller squared error. Spacing levels otherwise gains next to nothing:
 * {@code docs/fidelity.md} has what was tried.
 */
public enum Coefficients {
    FP16("fp16", Short.SIZE),
    BITS_8("8", 8),
    BITS_6("6", 6),
    BITS_4("4", 4);

    /** Largest finite binary16. */
    public static final float LARGEST = 65504f;

    private static final short SIGN = Short.MIN_VALUE;

    private final String label;
    private final int bits;
    private final int top;

    Coefficients(String label, int bits) {
        this.label = label;
        this.bits = bits;
        top = (1 << bits) - 1;
    }

    /**
     * Reads {@code fp16}, {@code 8}, {@code 6} or {@code 4}.
     *
     * @throws InvalidInputException when the text is none of these
     */
    public static Coefficients parse(String text) {
        for (Coefficients form : values()) {
            if (form.label.equals(text)) {
                return form;
            }
        }
        throw new InvalidInputException("coefficients of '" + text + "' bits are none; choose fp16, 8, 6 or 4");
    }

    /** The form that {@link #parse} reads. */
    public String label() {
        return label;
    }

    /** Bits of a coefficient, the scale apart. */
    public int bits() {
        return bits;
    }

    /** Whether coefficients are levels of a scale. */
    public boolean scaled() {
        return this != FP16;
    }

    /** The scale for these coefficients; 0 where there is nothing to scale. */
    short scale(float[] coefficients, int count) {
        float largest = 0;
        float least = 0;
        for (int i = 0; i < count; i++) {
            largest = Math.max(largest, coefficients[i]);
            least = Math.min(least, coefficients[i]);
        }
        short positive = Float.floatToFloat16(largest);
        if (least == 0) {
            return positive;
        }
        short signed = (short) (Float.floatToFloat16(Math.max(largest, -least)) | SIGN);
        return error(coefficients, count, positive) <= error(coefficients, count, signed) ? positive : signed;
    }

    private double error(float[] coefficients, int count, short scale) {
        float step = step(scale);
        int zero = zero(scale);
        int most = most(scale);
        double error = 0;
        for (int i = 0; i < count; i++) {
            double difference = coefficients[i] - value(level(coefficients[i], step, zero, most), step, zero);
            error += difference * difference;
        }
        return error;
    }

    /** The first coefficient that is the scale. */
    int largest(float[] coefficients, int count, short scale) {
        int largest = 0;
        for (int i = 1; i < count; i++) {
            largest = size(coefficients[i], scale) > size(coefficients[largest], scale) ? i : largest;
        }
        return largest;
    }

    private static float size(float coefficient, short scale) {
        return scale < 0 ? Math.abs(coefficient) : coefficient;
    }

    /** Distance of neighbouring levels. */
    public float step(short scale) {
        return Math.abs(Float.float16ToFloat(scale)) / (most(scale) - zero(scale));
    }

    /** The level that stands for 0. */
    public int zero(short scale) {
        return scale < 0 ? top >> 1 : top + 1 >> 3;
    }

    /** The level that stands for the scale itself, above which there is none. */
    int most(short scale) {
        return scale < 0 ? top - 1 : top;
    }

    /** The level nearest to a coefficient. */
    static int level(float coefficient, float step, int zero, int most) {
        return step == 0 ? zero : Math.clamp(Math.round(coefficient / step) + zero, 0, most);
    }

    /** The coefficient that a level stands for. */
    public static float value(int level, float step, int zero) {
        return step * (level - zero);
    }

    /**
     * Finds what is kept of a vector's coefficients when they share a scale.
     *
     * @param levels written, as many as there are coefficients
     * @return the scale
     */
    public short quantize(float[] coefficients, int count, int[] levels) {
        short scale = scale(coefficients, count);
        float step = step(scale);
        int zero = zero(scale);
        int most = most(scale);
        for (int i = 0; i < count; i++) {
            levels[i] = level(coefficients[i], step, zero, most);
        }
        return scale;
    }

    /** Replaces a vector's coefficients by what is kept of them. */
    public void round(float[] coefficients) {
        if (!scaled()) {
            for (int i = 0; i < coefficients.length; i++) {
                coefficients[i] = Float.float16ToFloat(Float.floatToFloat16(coefficients[i]));
            }
            return;
        }
        int[] levels = new int[coefficients.length];
        short scale = quantize(coefficients, coefficients.length, levels);
        for (int i = 0; i < coefficients.length; i++) {
            coefficients[i] = value(levels[i], step(scale), zero(scale));
        }
    }
}
