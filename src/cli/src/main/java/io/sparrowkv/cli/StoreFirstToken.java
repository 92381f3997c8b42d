package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.llm.generate.Generation;
import io.sparrowkv.llm.generate.GenerationListener;
import io.sparrowkv.llm.generate.GenerationRequest;
import io.sparrowkv.llm.generate.Generator;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.SparseKvCache;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.StoreProfile;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;

/**
 * The time to the first token after a prompt that a store knows, and after the same without one, in a process that has read prompts
 * before; from the prompt's token ids to the first id.
 *
 * @param promptTokens tokens of the prompt
 * @param reusedTokens those that the store knew
 * @param rounds prompts read with the store, and as many without, by turns; times are medians
 * @param firstWithout seconds of the process's very first prompt, read without the store
 */
record StoreFirstToken(
        int promptTokens, int reusedTokens, int rounds, double without, double with, double firstWithout) {
    private static final long SEED = 1;
    private static final long CAPACITY = 256L << 20;
    private static final int LEAST_ROUNDS = 5;

    static StoreFirstToken of(
            CausalLm lm, SparseCaches caches, CacheOptions options, Path folder, int promptTokens, Duration time)
            throws IOException {
        int[] prompt =
                new Random(SEED).ints(promptTokens, 0, lm.config().vocabulary()).toArray();
        StoreProfile profile =
                options.storeProfile(lm.config().attentionShape(), lm.fingerprint(), caches.dictionaries());
        GenerationRequest request = GenerationRequest.greedy(prompt, 1).withMaxContext(promptTokens + 1);
        Generator generator = new Generator(lm);
        try (ChronicleBlockStore known = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE)) {
            double first = read(generator, request, caches.newCache(options, Optional.empty()))
                    .secondsToFirstToken();
            read(generator, request, caches.newCache(options, Optional.of(known)));
            List<Double> without = new ArrayList<>();
            List<Double> with = new ArrayList<>();
            int reused = 0;
            long end = System.nanoTime() + time.toNanos();
            while (with.size() < LEAST_ROUNDS || System.nanoTime() < end) {
                without.add(read(generator, request, caches.newCache(options, Optional.empty()))
                        .secondsToFirstToken());
                Generation again = read(generator, request, caches.newCache(options, Optional.of(known)));
                with.add(again.secondsToFirstToken());
                reused = again.reusedTokens();
            }
            return new StoreFirstToken(promptTokens, reused, with.size(), median(without), median(with), first);
        }
    }

    private static Generation read(Generator generator, GenerationRequest request, SparseKvCache cache) {
        try (cache) {
            return generator.generate(request, cache, GenerationListener.NONE);
        }
    }

    private static double median(List<Double> seconds) {
        Collections.sort(seconds);
        return seconds.get(seconds.size() / 2);
    }
}
