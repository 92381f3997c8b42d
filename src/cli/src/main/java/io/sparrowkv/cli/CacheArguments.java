package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.DictionarySet;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How the key/value cache keeps and reads its tokens. */
public final class CacheArguments {
    @Option(
            names = "--codec",
            paramLabel = "NAME",
            defaultValue = "sparse",
            converter = CacheCodec.Converter.class,
            description = "How tokens are kept: sparse; dense, as the model computes them; or all but window and sinks"
                    + " as f16, q8_0, q4_0 or rotated-1 to rotated-4 (default: sparse).")
    private CacheCodec codec;

    @Mixin
    private DictionaryArguments dictionaries;

    @Mixin
    private ProfileArguments profile;

    @Mixin
    private BudgetArguments budgets;

    /** How tokens are kept. */
    CacheCodec codec() {
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

    /** Those of the options that a cache of quantized vectors takes. */
    CacheOptions quantizedOptions() {
        return budgets.options(threads());
    }

    /** The options as the cache takes them; it checks them against model and dictionaries itself. */
    CacheOptions options(CausalLm lm, DictionarySet dictionarySet) {
        return profile.options(budgets, dictionaries, lm, dictionarySet);
    }
}
