package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.CacheProfile;
import io.sparrowkv.attention.QuantizerProfile;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.DictionarySet;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/** A setting by its name or from its file, in place of budgets one by one. */
final class ProfileArguments {
    /** The paper's budgets, which are the defaults. */
    private static final String PAPER = "paper";

    private static final String RECOMMENDED = "recommended";

    @Option(
            names = "--profile",
            paramLabel = "NAME",
            description = "A file of 'sparrow calibrate' that says how vectors are coded, in place of budgets and"
                    + " refinement one by one; or paper: 8/16, not refined; or recommended: recommended.json beside the"
                    + " dictionaries, else 16/16, pursued among 64, coefficients of 4 bits (default: paper).")
    private Optional<String> profile = Optional.empty();

    /**
     * The options as the cache takes them; it checks them against model and dictionaries itself.
     *
     * @throws InvalidInputException when budgets are given as well, or the profile is another model's or other dictionaries'
     */
    CacheOptions options(BudgetArguments budgets, DictionaryArguments folder, CausalLm lm, DictionarySet dictionaries) {
        CacheOptions options = budgets.options(folder.threads());
        if (profile.isEmpty()) {
            return options;
        }
        requireAlone(budgets);
        if (profile.get().equals(PAPER)) {
            return options;
        }
        if (profile.get().equals(RECOMMENDED)) {
            return RecommendedCodes.of(options, folder, lm, dictionaries);
        }
        ProfileFile read = ProfileFile.read(Path.of(profile.get()));
        read.requireFit(lm, dictionaries);
        return read.profile().applyTo(options);
    }

    /** Whether a profile is given. */
    boolean given() {
        return profile.isPresent();
    }

    /**
     * The quantizers, if the profile is of such.
     *
     * @throws InvalidInputException when budgets are given as well, or the profile cannot be read
     */
    Optional<SiteQuantizers> quantizers(BudgetArguments budgets) {
        if (profile.isEmpty() || profile.get().equals(PAPER) || profile.get().equals(RECOMMENDED)) {
            return Optional.empty();
        }
        Path file = Path.of(profile.get());
        if (CacheProfile.read(file) instanceof QuantizerProfile chosen) {
            requireAlone(budgets);
            return Optional.of(new ProfiledQuantizers(file, chosen));
        }
        return Optional.empty();
    }

    private void requireAlone(BudgetArguments budgets) {
        if (budgets.sayHowToCode()) {
            throw new InvalidInputException(
                    "--profile %s is given beside budgets or --refine; give one or the other".formatted(profile.get()));
        }
    }
}
