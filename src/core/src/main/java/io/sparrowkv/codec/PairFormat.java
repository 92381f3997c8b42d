package io.sparrowkv.codec;

import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.io.InvalidInputException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a pair takes in a block: the bits of its atom's index, and the form of its coefficient.
 *
 * @param indexBits 16 beside binary16 coefficients, which keeps both plain Arrow types; else {@value #LEAST_INDEX_BITS} to 16
 * @param coefficients form of the coefficients
 */
public record PairFormat(int indexBits, Coefficients coefficients) {
    /** Fewest bits of an index. */
    public static final int LEAST_INDEX_BITS = 8;

    /** An index and a binary16, each by itself. */
    public static final PairFormat PLAIN = new PairFormat(Short.SIZE, Coefficients.FP16);

    private static final Pattern FORM = Pattern.compile("(\\d{1,2})\\+([468])");

    public PairFormat {
        boolean fits = coefficients.scaled()
                ? indexBits >= LEAST_INDEX_BITS && indexBits <= Short.SIZE
                : indexBits == Short.SIZE;
        if (!fits) {
            throw new InvalidInputException("pairs of a %d-bit index and %s coefficients; choose an index of %s"
                    .formatted(indexBits, coefficients.label(), coefficients.scaled() ? "8 to 16 bits" : "16 bits"));
        }
    }

    /** The narrowest pairs that name any of {@code latents} atoms. */
    public static PairFormat of(Coefficients coefficients, int latents) {
        int bits = Integer.SIZE - Integer.numberOfLeadingZeros(latents - 1);
        return coefficients.scaled() ? new PairFormat(Math.max(LEAST_INDEX_BITS, bits), coefficients) : PLAIN;
    }

    /**
     * Reads the form that {@link #label} writes.
     *
     * @throws InvalidInputException when the text is none
     */
    public static PairFormat parse(String text) {
        Matcher matcher = FORM.matcher(text);
        if (!matcher.matches()) {
            throw new InvalidInputException("'" + text
                    + "' is no format of pairs; one is written as the bits of index and coefficient, such as 12+4");
        }
        return new PairFormat(Integer.parseInt(matcher.group(1)), Coefficients.parse(matcher.group(2)));
    }

    /** Bits of index and coefficient, such as {@code 12+4}; a binary16 counts as 16. */
    public String label() {
        return indexBits + "+" + coefficients.bits();
    }

    /** Whether a row of a block is a run of bits, rather than two rows of whole numbers. */
    public boolean packed() {
        return coefficients.scaled();
    }

    /** Bits of a pair, its share of the scale apart. */
    public int bits() {
        return indexBits + coefficients.bits();
    }

    /** Atoms that an index can tell apart. */
    public int mostLatents() {
        return 1 << indexBits;
    }
}
