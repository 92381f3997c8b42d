package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.TextFile;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** A model and the texts that it reads while its keys and values are taken. */
final class VectorArguments {
    private static final int DEFAULT_CONTEXT = 1024;

    @Parameters(
            index = "0",
            arity = "0..1",
            paramLabel = "MODEL",
            description = "Hugging Face folder of the model (default: the bundled one).")
    private Optional<Path> model = Optional.empty();

    @Option(names = "--text", paramLabel = "FILE", description = "UTF-8 text that the model reads; may be repeated.")
    private List<Path> texts = List.of();

    @Option(
            names = "--context",
            paramLabel = "N",
            description = "Tokens that the model reads at a time (default: 1024, or the model's limit).")
    private Optional<Integer> context = Optional.empty();

    @Option(names = "--max-tokens", paramLabel = "N", description = "Read no more than this of the texts.")
    private Optional<Integer> maxTokens = Optional.empty();

    /** Vectors as they come from a model, and the model. */
    record LiveVectors(ModelVectorSource source, CausalLm lm) implements AutoCloseable {
        @Override
        public void close() {
            source.close();
            lm.close();
        }
    }

    /** Whether a model or a text is named. */
    boolean given() {
        return model.isPresent() || !texts.isEmpty();
    }

    /**
     * Loads the model and reads the texts.
     *
     * @throws InvalidInputException when no text is given, or a file cannot be used
     */
    LiveVectors open(int threads) {
        if (texts.isEmpty()) {
            throw new InvalidInputException("no text is given for the model to read; name one with --text");
        }
        Path folder = model.or(Home::bundledModel).orElseThrow(Home::noBundledModel);
        Libtorch.useThreads(threads);
        CausalLm lm = CausalLm.load(folder);
        try (TextTokenizer tokenizer = TextTokenizer.load(folder, lm.config().vocabulary())) {
            int[] tokens = texts.stream()
                    .map(TextFile::read)
                    .map(tokenizer::encode)
                    .flatMapToInt(IntStream::of)
                    .toArray();
            int most = maxTokens
                    .map(n -> Check.range("--max-tokens", n, 1, Integer.MAX_VALUE))
                    .orElse(tokens.length);
            int limit = lm.config().maxPositions();
            int chunk =
                    context.map(n -> Check.range("--context", n, 1, limit)).orElse(Math.min(DEFAULT_CONTEXT, limit));
            int[] read = most < tokens.length ? Arrays.copyOf(tokens, most) : tokens;
            return new LiveVectors(new ModelVectorSource(lm, read, chunk), lm);
        } catch (RuntimeException e) {
            lm.close();
            throw e;
        }
    }
}
