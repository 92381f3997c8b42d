package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Which model is run, and how long its context may grow. */
public final class ModelArguments {
    @Parameters(
            index = "0",
            arity = "0..1",
            paramLabel = "MODEL",
            description = "Hugging Face folder of the model (default: the bundled one).")
    private Optional<Path> model = Optional.empty();

    @Option(
            names = "--max-context",
            paramLabel = "N",
            description = "Longest context in tokens (default: the model's own limit, which this may lift).")
    private Optional<Integer> maxContext = Optional.empty();

    /**
     * The model's folder.
     *
     * @throws InvalidInputException when none is given and none is bundled
     */
    public Path folder() {
        return model.or(Home::bundledModel).orElseThrow(Home::noBundledModel);
    }

    /**
     * The longest context, in tokens.
     *
     * @param modelLimit the model's own
     */
    public int maxContext(int modelLimit) {
        return maxContext
                .map(tokens -> Check.range("--max-context", tokens, 1, Integer.MAX_VALUE))
                .orElse(modelLimit);
    }

    /**
     * Refuses a context that is longer than allowed.
     *
     * @param tokens that the work would need
     * @throws InvalidInputException that names both figures
     */
    public void requireContext(int tokens, int modelLimit) {
        int limit = maxContext(modelLimit);
        if (tokens > limit) {
            throw new InvalidInputException(
                    "the context would be %d tokens where %s allows %d; use a shorter text, or lift the limit with --max-context %d"
                            .formatted(tokens, maxContext.isPresent() ? "--max-context" : "the model", limit, tokens));
        }
    }
}
