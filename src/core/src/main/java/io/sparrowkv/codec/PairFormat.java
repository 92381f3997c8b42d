package io.sparrowkv.codec;

import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.io.InvalidInputException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a code takes in a block: the bits of an atom's index, the form of a coefficient, and the bits of what the pairs leave.
 *
 * @param indexBits 16 beside binary16 coefficients, which keeps both plain Arrow types; else {@value #LEAST_INDEX_BITS} to 16
 * @param coefficients form of the coefficients
 * @param residualBits bits of each number of the residual, the vector less what its pairs stand for, in the form of {@link RotatedCodec};
 *     0 where it is not kept, as always beside binary16 coefficients
 * @param counted whether a row has as many pairs as its code and a count of them, rather than always the budget; never beside binary16
 *     coefficients
 */
public record PairFormat(int indexBits, Coefficients coefficients, int residualBits, boolean counted) {
    /** Fewest bits of an index. */
    public static final int LEAST_INDEX_BITS = 8;

    /** An index and a binary16, each by itself. */
    public static final PairFormat PLAIN = new PairFormat(Short.SIZE, Coefficients.FP16, 0, false);

    /** Most bits of a number of the residual. */
    public static final int MOST_RESIDUAL_BITS = 4;

    private static final Pattern FORM = Pattern.compile("(\\d{1,2})\\+([468])(\\+counted)?(?:\\+residual:([1-4]))?");

    public PairFormat {
        boolean fits = coefficients.scaled()
                ? indexBits >= LEAST_INDEX_BITS && indexBits <= Short.SIZE
                : indexBits == Short.SIZE;
        if (!fits) {
            throw new InvalidInputException("pairs of a %d-bit index and %s coefficients; choose an index of %s"
                    .formatted(indexBits, coefficients.label(), coefficients.scaled() ? "8 to 16 bits" : "16 bits"));
        }
        if (counted && !coefficients.scaled()) {
            throw new InvalidInputException("counted pairs of %s coefficients; choose coefficients of 8, 6 or 4 bits"
                    .formatted(coefficients.label()));
        }
        if (residualBits < 0 || residualBits > (coefficients.scaled() ? MOST_RESIDUAL_BITS : 0)) {
            throw new InvalidInputException(
                    "a residual of %d bits beside %s coefficients; choose 0 to %d bits, and coefficients of 8, 6 or 4 bits beside them"
                            .formatted(residualBits, coefficients.label(), MOST_RESIDUAL_BITS));
        }
    }

    /** The narrowest pairs that name any of {@code latents} atoms, not counted. */
    public static PairFormat of(Coefficients coefficients, int residualBits, int latents) {
        int bits = Integer.SIZE - Integer.numberOfLeadingZeros(latents - 1);
        return new PairFormat(
                coefficients.scaled() ? Math.max(LEAST_INDEX_BITS, bits) : Short.SIZE,
                coefficients,
                residualBits,
                false);
    }

    /** The same pairs with other residuals. */
    public PairFormat withResidualBits(int bits) {
        return new PairFormat(indexBits, coefficients, bits, counted);
    }

    /** The same pairs in rows that are counted, or not. */
    public PairFormat withCounts(boolean counted) {
        return new PairFormat(indexBits, coefficients, residualBits, counted);
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
        int residualBits = matcher.group(4) == null ? 0 : Integer.parseInt(matcher.group(4));
        return new PairFormat(
                Integer.parseInt(matcher.group(1)),
                Coefficients.parse(matcher.group(2)),
                residualBits,
                matcher.group(3) != null);
    }

    /** Bits of index and coefficient, such as {@code 12+4}, {@code 12+4+counted} or {@code 12+4+residual:1}; a binary16 counts as 16. */
    public String label() {
        return indexBits + "+" + coefficients.bits() + (counted ? "+counted" : "")
                + (residualBits == 0 ? "" : "+residual:" + residualBits);
    }

    /** Whether a row of a block is a run of bits, rather than two rows of whole numbers. */
    public boolean packed() {
        return coefficients.scaled();
    }

    /** Bits of a pair, without its share of scale and residual. */
    public int bits() {
        return indexBits + coefficients.bits();
    }

    /** Atoms that an index can tell apart. */
    public int mostLatents() {
        return 1 << indexBits;
    }
}
