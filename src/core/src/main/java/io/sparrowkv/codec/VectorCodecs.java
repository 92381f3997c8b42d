package io.sparrowkv.codec;

import io.sparrowkv.io.InvalidInputException;
import java.util.List;

/** The vector codecs by name. */
public final class VectorCodecs {
    /** All names, from the most bytes to the fewest. */
    public static final List<String> NAMES =
            List.of("f16", "q8_0", "q4_0", "rotated-4", "rotated-3", "rotated-2", "rotated-1");

    private VectorCodecs() {}

    /**
     * Makes a codec.
     *
     * @throws InvalidInputException when there is no such codec, or it does not take vectors of this width
     */
    public static VectorCodec of(String name, int dHead) {
        return switch (name) {
            case "f16" -> new Float16Codec(dHead);
            case "q8_0" -> new Q8Codec(dHead);
            case "q4_0" -> new Q4Codec(dHead);
            case "rotated-1", "rotated-2", "rotated-3", "rotated-4" ->
                new RotatedCodec(dHead, name.charAt(name.length() - 1) - '0');
            default ->
                throw new InvalidInputException(
                        "'%s' is no codec; choose from %s".formatted(name, String.join(", ", NAMES)));
        };
    }
}
