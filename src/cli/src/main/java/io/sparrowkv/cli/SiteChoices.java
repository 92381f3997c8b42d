package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheProfile;
import io.sparrowkv.eval.BudgetPlan;
import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.sae.Site;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What may be kept of a site's vectors in one kind of profile, of which a calibration chooses by layer and kind. */
sealed interface SiteChoices permits CodeChoices, QuantizerChoices {
    /** As reports name them, such as {@code 4-bit coefficients}. */
    String name();

    /** The choices, by their labels: {@code 8+1}, {@code rotated-2}. */
    List<String> labels();

    /** Those of them among which elbows are looked for, ascending in bytes. */
    Set<String> elbowLabels();

    /** All that a measurement of these choices depends on, beside model, text, window and sinks. */
    Map<String, String> identity();

    /** Bytes of a vector of which {@code label} is kept. */
    double bytes(Site site, String label);

    /** A cache that keeps {@code label} of one site's vectors, and all others as fp16. */
    CacheUnderTest alone(Site site, String label);

    /** What a plan with labels of these choices says. */
    CacheProfile profile(BudgetPlan plan);

    /** A cache as {@link #profile} says. */
    CacheUnderTest planned(BudgetPlan plan);
}
