package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.TextFile;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import picocli.CommandLine.Option;

/** The text that an evaluation reads, and how it is cut. */
final class EvalTextArguments {
    static final int DEFAULT_CONTEXT = 2048;

    @Option(names = "--text", paramLabel = "FILE", required = true, description = "UTF-8 text to read.")
    private Path text;

    @Option(names = "--tokens", paramLabel = "N", description = "Read only the first N tokens (default: all).")
    private Optional<Integer> tokens = Optional.empty();

    @Option(
            names = "--context",
            paramLabel = "N",
            description = "Cut the text in contexts of N tokens, each read from an empty cache"
                    + " (default: 2048, or the model's limit).")
    private Optional<Integer> context = Optional.empty();

    Path file() {
        return text;
    }

    /** Tokens of a context. */
    int context(int limit) {
        return context.map(n -> Check.range("--context", n, 2, limit)).orElse(Math.min(DEFAULT_CONTEXT, limit));
    }

    /**
     * The token ids to read.
     *
     * @throws InvalidInputException when the text is not there, or shorter than asked
     */
    int[] ids(CausalLm lm) {
        int[] ids = ids(
                lm,
                text,
                tokens.map(n -> Check.range("--tokens", n, 2, Integer.MAX_VALUE))
                        .orElse(2));
        return tokens.isPresent() ? Arrays.copyOf(ids, tokens.get()) : ids;
    }

    /**
     * All token ids of a text.
     *
     * @throws InvalidInputException when the text is not there, or has fewer than {@code least}
     */
    static int[] ids(CausalLm lm, Path text, int least) {
        try (TextTokenizer tokenizer =
                TextTokenizer.load(lm.folder(), lm.config().vocabulary())) {
            int[] ids = tokenizer.encode(TextFile.read(text));
            if (ids.length < least) {
                throw new InvalidInputException(
                        "%s: has %d tokens where %d are asked; give a longer text, or fewer --tokens"
                                .formatted(text, ids.length, least));
            }
            return ids;
        }
    }
}
