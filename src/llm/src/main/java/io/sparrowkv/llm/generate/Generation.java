package io.sparrowkv.llm.generate;

/**
 * What was generated, and what it cost.
 *
 * @param text without the stop string and special tokens
 * @param tokens generated ids, an end-of-sequence token included
 * @param promptTokens tokens of the prompt
 * @param reusedTokens those of them that the cache had from a store, and that were not read
 * @param end why it ended
 * @param prefillNanos time of reading the prompt, up to the first token: the time to first token
 * @param decodeNanos time of all further tokens
 * @param cacheBytes bytes of the cache's contents at the end
 */
public record Generation(
        String text,
        int[] tokens,
        int promptTokens,
        int reusedTokens,
        End end,
        long prefillNanos,
        long decodeNanos,
        long cacheBytes) {
    private static final double NANOS = 1e9;

    /** Why a generation ended. */
    public enum End {
        /** The most tokens asked for were generated. */
        LENGTH,
        /** The model ended the text. */
        END_OF_SEQUENCE,
        STOP_STRING
    }

    public double secondsToFirstToken() {
        return prefillNanos / NANOS;
    }

    public double prefillTokensPerSecond() {
        return (promptTokens - reusedTokens) * NANOS / Math.max(1, prefillNanos);
    }

    /** Tokens a second after the first; 0 when there was but one. */
    public double decodeTokensPerSecond() {
        return (tokens.length - 1) * NANOS / Math.max(1, decodeNanos);
    }
}
