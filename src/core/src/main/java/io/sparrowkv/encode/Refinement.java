package io.sparrowkv.encode;

import io.sparrowkv.io.InvalidInputException;
import java.math.BigDecimal;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What is done to an encoder's code before it is kept.
 *
 * <p>A Top-K code takes each coefficient for itself, as its detector saw it. {@link #refit} keeps the chosen atoms and fits all
 * coefficients at once, by least squares. {@link #pursuit} also chooses anew, among the encoder's C best latents: atom by atom the
 * one that, with all coefficients fitted again, leaves the least squared error (orthogonal least squares: Chen, Billings and Luo,
 * 1989; with a trained encoder to narrow the choice); of atoms that leave the same, any one. A refit is a pursuit among no more candidates than pairs.
 *
 * <p>A refined code lists its pairs in the order of choice, and its coefficients may be negative. Its first k pairs have the atoms
 * that the pursuit chooses at budget k, but coefficients fitted for the whole code, so a prefix can be read but is not the code at
 * that budget: on the bundled model the first 8 pairs of a pursuit of 16 leave about the error of a refit of 8, and the first 4 that
 * of a plain code of 4. Store as many pairs as are read.
 *
 * <p>A pursuit with an error bound ends as soon as what it leaves of a vector is no longer than that part of the vector, both less the
 * dictionary's centre and measured as the pursuit measures errors: in the dictionary's metric if it has one, with coefficients that are
 * not yet rounded. The pairs of a budget are then the most that a code may have.
 *
 * @param kind what is refined
 * @param candidates latents that a pursuit chooses among, 0 for other kinds; the dictionary's number of latents or more makes it
 *     choose among all of them, whether the encoder would or not
 * @param errorBound part of a vector's length that a pursuit may leave of it, above 0 and below 1; 0 where it goes on to the budget
 */
public record Refinement(Kind kind, int candidates, double errorBound) {
    /** The ways of refining. */
    public enum Kind {
        NONE,
        REFIT,
        PURSUIT
    }

    /** The encoder's own code. */
    public static final Refinement NONE = new Refinement(Kind.NONE, 0, 0);

    /** Least squares on the encoder's atoms. */
    public static final Refinement REFIT = new Refinement(Kind.REFIT, 0, 0);

    private static final Pattern PURSUIT_FORM = Pattern.compile("pursuit:(\\d{1,9})(?::(\\d{0,9}\\.?\\d{1,9}))?");

    public Refinement {
        if (kind == Kind.PURSUIT ? candidates < 1 : candidates != 0) {
            throw new IllegalArgumentException(kind + " among " + candidates + " candidates");
        }
        if (errorBound != 0 && (kind != Kind.PURSUIT || !(errorBound > 0 && errorBound < 1))) {
            throw new IllegalArgumentException(kind + " to an error of " + errorBound);
        }
    }

    /** A pursuit among the encoder's best latents. */
    public static Refinement pursuit(int candidates) {
        return new Refinement(Kind.PURSUIT, candidates, 0);
    }

    /** A pursuit that ends where no more than {@code errorBound} of a vector's length is left, above 0 and below 1. */
    public static Refinement pursuit(int candidates, double errorBound) {
        return new Refinement(Kind.PURSUIT, candidates, errorBound);
    }

    /** Whether codes end at an error, rather than at a number of pairs. */
    public boolean bounded() {
        return errorBound > 0;
    }

    /**
     * Reads {@code none}, {@code refit}, {@code pursuit:64} or {@code pursuit:64:0.2}, with an error bound.
     *
     * @throws InvalidInputException when the text is none of these
     */
    public static Refinement parse(String text) {
        Matcher pursuit = PURSUIT_FORM.matcher(text);
        if (pursuit.matches() && Integer.parseInt(pursuit.group(1)) > 0) {
            int candidates = Integer.parseInt(pursuit.group(1));
            return pursuit.group(2) == null
                    ? pursuit(candidates)
                    : pursuit(candidates, bound(text, Double.parseDouble(pursuit.group(2))));
        }
        return switch (text) {
            case "none" -> NONE;
            case "refit" -> REFIT;
            default ->
                throw new InvalidInputException(
                        "'" + text
                                + "' is no refinement; choose none, refit or pursuit:C, such as pursuit:64, or with an error bound pursuit:64:0.2");
        };
    }

    private static double bound(String text, double bound) {
        if (!(bound > 0 && bound < 1)) {
            throw new InvalidInputException(
                    "'" + text
                            + "': a pursuit ends at a part of each vector's length above 0 and below 1, such as pursuit:64:0.2");
        }
        return bound;
    }

    /** The form that {@link #parse} reads. */
    public String label() {
        return switch (kind) {
            case NONE -> "none";
            case REFIT -> "refit";
            case PURSUIT ->
                "pursuit:" + candidates
                        + (bounded()
                                ? ":"
                                        + BigDecimal.valueOf(errorBound)
                                                .stripTrailingZeros()
                                                .toPlainString()
                                : "");
        };
    }

    /** Latents that a code of {@code budget} pairs is chosen among. */
    public int candidatesFor(int budget, int latents) {
        return Math.min(latents, Math.max(budget, candidates));
    }
}
