package io.sparrowkv.store;

import io.sparrowkv.sae.Site;

/**
 * The name of a block in a store.
 *
 * @param prefix identifies the tokens up to the end of the block: equal prefixes mean equal content
 * @param site the layer's keys or values
 */
public record BlockKey(long prefix, Site site) {
    /** The prefix that follows {@code previous} (0 at the beginning) when {@code content} comes next: a chained 64-bit hash. */
    public static long chain(long previous, long content) {
        // The finalizer of MurmurHash3: every bit of the input reaches every bit of the result.
        long h = previous * 0x9E3779B97F4A7C15L + content;
        h = (h ^ (h >>> 33)) * 0xFF51AFD7ED558CCDL;
        h = (h ^ (h >>> 33)) * 0xC4CEB9FE1A85EC53L;
        return h ^ (h >>> 33);
    }
}
