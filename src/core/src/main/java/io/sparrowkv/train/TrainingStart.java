package io.sparrowkv.train;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Metric;
import io.sparrowkv.sae.Site;
import java.util.Map;
import java.util.Optional;

/**
 * What a training begins with.
 *
 * @param dictionaries to go on from, instead of first weights made from vectors; the caller's, read when training begins
 * @param metrics by which errors are weighed, for the sites that have one; the others keep that of their dictionary, if any
 */
public record TrainingStart(Optional<DictionarySet> dictionaries, Map<Site, Metric> metrics) {
    /** Atoms made from vectors, and the plain squared error. */
    public static final TrainingStart ANEW = new TrainingStart(Optional.empty(), Map.of());

    public TrainingStart {
        metrics = Map.copyOf(metrics);
    }

    /** Goes on from dictionaries, with the metrics that they have. */
    public static TrainingStart from(DictionarySet dictionaries) {
        return new TrainingStart(Optional.of(dictionaries), Map.of());
    }

    Optional<Dictionary> dictionary(Site site) {
        return dictionaries.map(set -> set.bySite().get(site));
    }

    Optional<Metric> metric(Site site) {
        return Optional.ofNullable(metrics.get(site)).or(() -> dictionary(site).flatMap(Dictionary::metric));
    }
}
