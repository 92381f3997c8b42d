package io.sparrowkv.llm.generate;

import io.sparrowkv.io.InvalidInputException;
import java.util.List;

/**
 * What to generate.
 *
 * @param prompt token ids, at least one
 * @param maxNewTokens most tokens to generate
 * @param sampling how tokens are chosen
 * @param stopStrings texts at which generation ends; they are not part of the result
 * @param stopAtEnd whether the model's end-of-sequence token ends generation
 * @param maxContext longest context allowed, prompt and new tokens together; 0 for the model's own limit
 * @param prefillChunk tokens of the prompt that pass through the model at once
 */
public record GenerationRequest(
        int[] prompt,
        int maxNewTokens,
        Sampling sampling,
        List<String> stopStrings,
        boolean stopAtEnd,
        int maxContext,
        int prefillChunk) {
    /** Large enough for libtorch's full speed, small enough for a prompt's activations to stay small. */
    public static final int DEFAULT_PREFILL_CHUNK = 512;

    /** @throws InvalidInputException when the prompt is empty or a number is out of its range */
    public GenerationRequest {
        if (prompt.length == 0) {
            throw new InvalidInputException("the prompt is empty; give at least one token of text");
        }
        if (maxNewTokens < 1 || maxContext < 0 || prefillChunk < 1) {
            throw new InvalidInputException("%d new tokens, context %d, prefill chunk %d: each must be positive"
                    .formatted(maxNewTokens, maxContext, prefillChunk));
        }
        if (stopStrings.stream().anyMatch(String::isEmpty)) {
            throw new InvalidInputException("a stop string is empty; give at least one character");
        }
        prompt = prompt.clone();
        stopStrings = List.copyOf(stopStrings);
    }

    /** A greedy request within the model's own limit. */
    public static GenerationRequest greedy(int[] prompt, int maxNewTokens) {
        return new GenerationRequest(prompt, maxNewTokens, Sampling.GREEDY, List.of(), true, 0, DEFAULT_PREFILL_CHUNK);
    }

    public GenerationRequest withSampling(Sampling sampling) {
        return new GenerationRequest(prompt, maxNewTokens, sampling, stopStrings, stopAtEnd, maxContext, prefillChunk);
    }

    public GenerationRequest withStopStrings(List<String> stopStrings) {
        return new GenerationRequest(prompt, maxNewTokens, sampling, stopStrings, stopAtEnd, maxContext, prefillChunk);
    }

    public GenerationRequest withStopAtEnd(boolean stopAtEnd) {
        return new GenerationRequest(prompt, maxNewTokens, sampling, stopStrings, stopAtEnd, maxContext, prefillChunk);
    }

    public GenerationRequest withMaxContext(int maxContext) {
        return new GenerationRequest(prompt, maxNewTokens, sampling, stopStrings, stopAtEnd, maxContext, prefillChunk);
    }

    public GenerationRequest withPrefillChunk(int prefillChunk) {
        return new GenerationRequest(prompt, maxNewTokens, sampling, stopStrings, stopAtEnd, maxContext, prefillChunk);
    }

    /** Tokens that the context grows to at most. */
    public int contextTokens() {
        return Math.addExact(prompt.length, maxNewTokens);
    }
}
