package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.DictionarySet;
import java.util.Optional;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How the key/value cache keeps and reads its tokens. */
public final class CacheArguments {
    @Option(
            names = "--codec",
            paramLabel = "NAME",
            converter = CacheCodec.Converter.class,
            description = "How tokens are kept: sparse; dense, as the model computes them; or all but window and sinks"
                    + " as f16, q8_0, q4_0 or rotated-1 to rotated-4, which +LAYER:CODEC may follow (default: sparse, or as"
                    + " the profile says).")
    private Optional<CacheCodec> codec = Optional.empty();

    @Mixin
    private DictionaryArguments dictionaries;

    @Mixin
    private ProfileArguments profile;

    @Mixin
    private BudgetArguments budgets;

    /**
     * How tokens are kept.
     *
     * @throws InvalidInputException when a profile says it too, or cannot be read
     */
    CacheCodec codec() {
        if (profile.given() && codec.isPresent() && !(codec.get() instanceof CacheCodec.Sparse)) {
            throw new InvalidInputException(
                    "--codec %s is given beside --profile, which says how tokens are kept; give one of them"
                            .formatted(codec.get().label()));
        }
        return profile.quantizers(budgets)
                .<CacheCodec>map(CacheCodec.Quantized::new)
                .orElse(codec.orElse(new CacheCodec.Sparse()));
    }

    /** The option that says how tokens are kept, with its value. */
    String codecOption(CacheCodec codec) {
        return (profile.given() ? "--profile of " : "--codec ") + codec.label();
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
