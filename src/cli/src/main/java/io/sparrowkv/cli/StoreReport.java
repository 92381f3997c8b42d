package io.sparrowkv.cli;

import io.sparrowkv.report.Quantities;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.StoreCounters;
import java.io.PrintWriter;

/**
 * What a store on disk has saved, and what became of it.
 *
 * @param blocksReused blocks of 64 tokens, all layers, that were taken from it
 * @param tokensReused tokens that needed no prefill: those of the blocks, and the sinks before them
 * @param promptTokens tokens that were to be read
 * @param counters what this run has seen of the store
 */
record StoreReport(String folder, long blocksReused, long tokensReused, int promptTokens, StoreCounters counters) {
    static StoreReport of(ChronicleBlockStore store, int promptTokens, long tokensReused, long blocksReused) {
        return new StoreReport(store.folder().toString(), blocksReused, tokensReused, promptTokens, store.counters());
    }

    void print(PrintWriter out) {
        out.printf(
                "store %s: %s blocks reused, prefill of %s of %s tokens saved%n",
                folder, Quantities.count(blocksReused), Quantities.count(tokensReused), Quantities.count(promptTokens));
        if (counters.evictedPrefixes() > 0) {
            out.printf(
                    "store full: %s blocks of older texts (%s) were evicted%n",
                    Quantities.count(counters.evictedPrefixes()), Quantities.bytes(counters.evictedBytes()));
        }
    }
}
