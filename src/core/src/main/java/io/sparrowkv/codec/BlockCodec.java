package io.sparrowkv.codec;

import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * How vectors become the bytes of a block, in one line: the version of {@link CodeBlockLayout}, the format of pairs when it is not
 * the plain one, with whether its rows are counted and the bits of the residual when it is kept, and the refinement when there is one, such as {@code sparse/1 12+4 pursuit:64}. Stores compare it as text.
 *
 * @param pairs what a pair takes
 * @param refinement what was done to the encoder's codes
 */
public record BlockCodec(PairFormat pairs, Refinement refinement) {
    private static final Pattern FORM = Pattern.compile("sparse/(\\d{1,9})(?: (\\S+\\+\\S+))?(?: ([a-z]\\S*))?");

    /** The line. */
    public String label() {
        StringBuilder label = new StringBuilder(CodeBlockLayout.CODEC);
        if (pairs.packed()) {
            label.append(' ').append(pairs.label());
        }
        if (refinement.kind() != Refinement.Kind.NONE) {
            label.append(' ').append(refinement.label());
        }
        return label.toString();
    }

    /**
     * Reads the line.
     *
     * @throws InvalidInputException when it is none, or of another version
     */
    public static BlockCodec parse(String text) {
        Matcher matcher = FORM.matcher(text);
        if (!matcher.matches()) {
            throw new InvalidInputException("'%s' is no codec of blocks; one looks like '%s 12+4 pursuit:64'"
                    .formatted(text, CodeBlockLayout.CODEC));
        }
        int version = Integer.parseInt(matcher.group(1));
        if (version != CodeBlockLayout.VERSION) {
            throw new InvalidInputException("'%s': blocks of version %d where this program reads %d"
                    .formatted(text, version, CodeBlockLayout.VERSION));
        }
        return new BlockCodec(
                matcher.group(2) == null ? PairFormat.PLAIN : PairFormat.parse(matcher.group(2)),
                matcher.group(3) == null ? Refinement.NONE : Refinement.parse(matcher.group(3)));
    }
}
