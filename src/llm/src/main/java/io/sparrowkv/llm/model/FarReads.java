package io.sparrowkv.llm.model;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.RopeStage;

/**
 * Which reads of attention a cache would serve from codes: a query at position t reads the tokens s with
 * {@code sinks <= s < end(t)} <em>far</em>, and the others that it sees <em>near</em>, dense.
 *
 * @param window newest tokens that a query reads near, itself included; 0 makes it read even its own token far
 * @param sinks first tokens of a sequence, always read near
 * @param blockTokens tokens that become far together, counted from the sinks on: when the last of them is
 * @param keys the stage at which keys deviate: before RoPE, and are turned after, or after it
 */
public record FarReads(int window, int sinks, int blockTokens, RopeStage keys) {
    public FarReads {
        if (window < 0 || sinks < 0 || blockTokens < 1) {
            throw new IllegalArgumentException(
                    "window %d, sinks %d, blockTokens %d".formatted(window, sinks, blockTokens));
        }
    }

    /** Tokens become far one by one: a query at t reads s far when {@code s >= sinks} and {@code t - s >= window}. */
    public static FarReads byToken(int window, int sinks, RopeStage keys) {
        return new FarReads(window, sinks, 1, keys);
    }

    /** Tokens become far as they do in a sparse cache with these options: by blocks, or one by one with a window of 0. */
    public static FarReads asSparseCache(int window, int sinks, RopeStage keys) {
        return new FarReads(window, sinks, window == 0 ? 1 : CodeBlockLayout.TOKENS, keys);
    }

    /** First token after those that a query reads far; {@link #sinks} where it reads none. */
    int end(int query) {
        return sinks + blockTokens * Math.max(0, Math.floorDiv(query + 1 - window - sinks, blockTokens));
    }

    /**
     * Whether some query of a context reads a token far.
     *
     * @param tokens of the context
     * @param slidingWindow tokens that a query of the layer sees, 0 for all
     */
    public boolean hasFarReader(int token, int tokens, int slidingWindow) {
        int lastReader = slidingWindow == 0 ? tokens - 1 : Math.min(tokens - 1, token + slidingWindow - 1);
        return token >= sinks && token < end(lastReader);
    }
}
