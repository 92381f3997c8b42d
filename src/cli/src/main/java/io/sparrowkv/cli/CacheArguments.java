package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.DictionarySet;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How the key/value cache keeps and reads its tokens. */
public final class CacheArguments {
    /** How tokens beyond window and sinks are kept. */
    public enum Codec {
        /** As they are: the dense cache. */
        F16,
        /** As codes over the model's dictionaries. */
        SPARSE
    }

    @Option(
            names = "--codec",
            paramLabel = "NAME",
            defaultValue = "sparse",
            description = "sparse, or f16 for the dense cache (default: sparse).")
    private Codec codec;

    @Mixin
    private DictionaryArguments dictionaries;

    @Mixin
    private ProfileArguments profile;

    @Mixin
    private BudgetArguments budgets;

    /** How tokens beyond window and sinks are kept. */
    public Codec codec() {
        return codec;
    }

    /** The dictionaries and the encoder that the sparse codec uses. */
    DictionaryArguments dictionaries() {
        return dictionaries;
    }

    /** Threads of each kind of work. */
    public int threads() {
        return dictionaries.threads();
    }

    /** The options as the cache takes them; it checks them against model and dictionaries itself. */
    CacheOptions options(CausalLm lm, DictionarySet dictionarySet) {
        return profile.options(budgets, threads(), lm, dictionarySet);
    }
}
