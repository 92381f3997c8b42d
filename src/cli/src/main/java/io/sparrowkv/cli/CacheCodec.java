package io.sparrowkv.cli;

import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.io.InvalidInputException;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * How a cache keeps its tokens, as {@code --codec} names it: {@code sparse}, codes over the model's dictionaries; {@code dense}, as the
 * model computes them; or a quantizer, which packs each vector of the tokens beyond window and sinks by itself.
 */
record CacheCodec(String name) {
    private static final String SPARSE = "sparse";
    private static final String DENSE = "dense";

    /** Names for {@code --codec}, in one line. */
    static final String NAMES = SPARSE + ", " + DENSE + ", " + String.join(", ", VectorCodecs.NAMES);

    CacheCodec {
        if (!name.equals(SPARSE) && !name.equals(DENSE) && !VectorCodecs.NAMES.contains(name)) {
            throw new InvalidInputException("'%s' is no codec; choose from %s".formatted(name, NAMES));
        }
    }

    boolean isSparse() {
        return name.equals(SPARSE);
    }

    boolean isDense() {
        return name.equals(DENSE);
    }

    /**
     * The quantizer that is neither sparse nor dense.
     *
     * @throws InvalidInputException when it does not take vectors of this width
     */
    VectorCodec quantizer(int dHead) {
        return VectorCodecs.of(name, dHead);
    }

    /** Reads a name. */
    static final class Converter implements ITypeConverter<CacheCodec> {
        @Override
        public CacheCodec convert(String text) {
            try {
                return new CacheCodec(text);
            } catch (InvalidInputException e) {
                throw new TypeConversionException(e.getMessage());
            }
        }
    }
}
