package io.sparrowkv.cli;

import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.io.InvalidInputException;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** How a cache keeps its tokens, as {@code --codec} or a profile says. */
sealed interface CacheCodec {
    /** Names for {@code --codec}, in one line. */
    String NAMES = Sparse.NAME + ", " + Dense.NAME + ", " + String.join(", ", VectorCodecs.NAMES);

    /** As reports show it. */
    String label();

    /** Codes over the model's dictionaries. */
    record Sparse() implements CacheCodec {
        private static final String NAME = "sparse";

        @Override
        public String label() {
            return NAME;
        }
    }

    /** As the model computes them. */
    record Dense() implements CacheCodec {
        private static final String NAME = "dense";

        @Override
        public String label() {
            return NAME;
        }
    }

    /** Each vector of the tokens beyond window and sinks packed by itself. */
    record Quantized(SiteQuantizers quantizers) implements CacheCodec {
        @Override
        public String label() {
            return quantizers.label();
        }
    }

    /** Reads a name. @throws InvalidInputException when it is none */
    static CacheCodec parse(String name) {
        return switch (name) {
            case Sparse.NAME -> new Sparse();
            case Dense.NAME -> new Dense();
            default ->
                new Quantized(LayerQuantizers.parse(name)
                        .orElseThrow(() ->
                                new InvalidInputException("'%s' is no codec; choose from %s".formatted(name, NAMES))));
        };
    }

    /** Reads a name. */
    final class Converter implements ITypeConverter<CacheCodec> {
        @Override
        public CacheCodec convert(String text) {
            try {
                return parse(text);
            } catch (InvalidInputException e) {
                throw new TypeConversionException(e.getMessage());
            }
        }
    }
}
