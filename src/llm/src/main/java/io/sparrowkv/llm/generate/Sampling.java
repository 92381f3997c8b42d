package io.sparrowkv.llm.generate;

import io.sparrowkv.io.InvalidInputException;

/**
 * How the next token is chosen: temperature first, then the {@code topK} likeliest, then the likeliest that together reach
 * {@code topP}.
 *
 * @param temperature divides the logits; 0 takes the likeliest token (greedy)
 * @param topK tokens considered, 0 for all
 * @param topP probability that the considered tokens reach, in (0, 1]
 * @param seed of the random numbers: the same seed gives the same text
 */
public record Sampling(double temperature, int topK, double topP, long seed) {
    /** Always the likeliest token. */
    public static final Sampling GREEDY = new Sampling(0, 0, 1, 0);

    /** @throws InvalidInputException when a value is out of its range */
    public Sampling {
        if (!(temperature >= 0) || Double.isInfinite(temperature)) {
            throw new InvalidInputException("--temperature is %s; choose a number from 0".formatted(temperature));
        }
        if (topK < 0) {
            throw new InvalidInputException("--top-k is %d; choose a number from 1, or 0 for all".formatted(topK));
        }
        if (!(topP > 0 && topP <= 1)) {
            throw new InvalidInputException("--top-p is %s; choose a number above 0, up to 1".formatted(topP));
        }
    }

    public boolean greedy() {
        return temperature == 0;
    }
}
