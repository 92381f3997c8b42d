package io.sparrowkv.llm.generate;

import ai.djl.ndarray.NDManager;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.tokenizer.TextStream;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import java.util.Arrays;
import java.util.Optional;

/** Generates tokens, and their text where it has a tokenizer: reads a prompt chunk by chunk, then a token at a time. */
public final class Generator {
    private final CausalLm lm;
    private final Optional<TextTokenizer> tokenizer;

    /** Generates token ids alone: the text is always empty, and there is nothing for a stop string to be found in. */
    public Generator(CausalLm lm) {
        this.lm = lm;
        this.tokenizer = Optional.empty();
    }

    public Generator(CausalLm lm, TextTokenizer tokenizer) {
        this.lm = lm;
        this.tokenizer = Optional.of(tokenizer);
    }

    /**
     * Refuses a context that is too long for the model, before any work.
     *
     * @throws InvalidInputException that names both figures
     */
    public static void requireContext(CausalLm lm, GenerationRequest request) {
        int limit =
                request.maxContext() > 0 ? request.maxContext() : lm.config().maxPositions();
        if (request.contextTokens() > limit) {
            throw new InvalidInputException(
                    "prompt of %d tokens and %d new ones make a context of %d where %d is the limit; shorten them, or lift it with --max-context %d"
                            .formatted(
                                    request.prompt().length,
                                    request.maxNewTokens(),
                                    request.contextTokens(),
                                    limit,
                                    request.contextTokens()));
        }
    }

    /**
     * Continues a prompt.
     *
     * @param cache may hold what the prompt follows; afterwards it holds all but the last token
     * @throws InvalidInputException when the context would be too long
     * @throws IllegalArgumentException when there are stop strings but no tokenizer
     */
    public Generation generate(GenerationRequest request, KvCache cache, GenerationListener listener) {
        requireContext(lm, request);
        if (tokenizer.isEmpty() && !request.stopStrings().isEmpty()) {
            throw new IllegalArgumentException("stop strings without a tokenizer");
        }
        Sampler sampler = new Sampler(request.sampling());
        Optional<TextStream> stream = tokenizer.map(words -> words.stream(request.prompt()));
        StopStrings stops = new StopStrings(request.stopStrings());
        StringBuilder text = new StringBuilder();
        int[] generated = new int[request.maxNewTokens()];
        int count = 0;
        Optional<Generation.End> end = Optional.empty();

        long start = System.nanoTime();
        int reused = cache.length() == 0 ? cache.restore(request.prompt(), request.prompt().length - 1) : 0;
        int token = sampler.next(prefill(request, reused, cache, listener));
        long first = System.nanoTime();
        while (true) {
            generated[count++] = token;
            listener.generated(count);
            boolean ended = request.stopAtEnd() && lm.config().endOfSequence().contains(token);
            if (stream.isPresent() && !ended) {
                give(stops.append(stream.get().append(token)), text, listener);
            }
            end = end(ended, stops.met(), count == request.maxNewTokens());
            if (end.isPresent()) {
                break;
            }
            token = sampler.next(logits(new int[] {token}, cache));
        }
        long last = System.nanoTime();
        if (stream.isPresent() && end.get() != Generation.End.STOP_STRING) {
            give(stops.append(stream.get().finish()) + stops.finish(), text, listener);
        }
        return new Generation(
                text.toString(),
                Arrays.copyOf(generated, count),
                request.prompt().length,
                reused,
                end.get(),
                first - start,
                last - first,
                cache.byteSize());
    }

    private static Optional<Generation.End> end(boolean ended, boolean stopped, boolean full) {
        if (ended) {
            return Optional.of(Generation.End.END_OF_SEQUENCE);
        }
        if (stopped) {
            return Optional.of(Generation.End.STOP_STRING);
        }
        return full ? Optional.of(Generation.End.LENGTH) : Optional.empty();
    }

    private static void give(String piece, StringBuilder text, GenerationListener listener) {
        if (!piece.isEmpty()) {
            text.append(piece);
            listener.text(piece);
        }
    }

    /** Reads the prompt after its reused tokens and gives the logits after its last token. */
    private float[] prefill(GenerationRequest request, int reused, KvCache cache, GenerationListener listener) {
        int[] prompt = request.prompt();
        int from = reused;
        while (prompt.length - from > request.prefillChunk()) {
            lm.read(Arrays.copyOfRange(prompt, from, from + request.prefillChunk()), cache);
            from += request.prefillChunk();
            listener.prefilled(from, prompt.length);
        }
        float[] logits = logits(Arrays.copyOfRange(prompt, from, prompt.length), cache);
        listener.prefilled(prompt.length, prompt.length);
        return logits;
    }

    private float[] logits(int[] tokens, KvCache cache) {
        try (NDManager scope = Libtorch.newManager()) {
            return lm.forward(scope, tokens, cache, true).toFloatArray();
        }
    }
}
