package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.DictionarySet;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * How vectors are best coded with some dictionaries: as the profile {@code recommended.json} in their folder says, which {@code sparrow
 * calibrate --out} may have written there, or else by budgets that are the same in all layers.
 */
final class RecommendedCodes {
    static final String FILE = "recommended.json";

    private RecommendedCodes() {}

    /**
     * These options with the recommended codes.
     *
     * @throws io.sparrowkv.io.InvalidInputException when the profile is broken, or of other dictionaries
     */
    static CacheOptions of(
            CacheOptions options, DictionaryArguments arguments, CausalLm lm, DictionarySet dictionaries) {
        Path file = arguments.folder(lm.folder()).resolve(FILE);
        if (!Files.exists(file)) {
            return options.withRecommendedCodes();
        }
        ProfileFile profile = ProfileFile.read(file);
        profile.requireFit(lm, dictionaries);
        return profile.profile().applyTo(options);
    }
}
