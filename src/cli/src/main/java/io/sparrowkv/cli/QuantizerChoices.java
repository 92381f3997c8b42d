package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.QuantizerProfile;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.eval.BudgetPlan;
import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.SparseKvCache;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Quantizers, of which each site may have one. */
final class QuantizerChoices implements SiteChoices {
    private final CausalLm lm;
    private final CacheOptions options;
    private final Map<String, VectorCodec> codecs = new LinkedHashMap<>();

    /**
     * @param options window, sinks and threads of all caches
     * @param names of the codecs
     * @throws io.sparrowkv.io.InvalidInputException when one is none, or does not take the model's vectors
     */
    QuantizerChoices(CausalLm lm, CacheOptions options, List<String> names) {
        this.lm = lm;
        this.options = options;
        int dHead = lm.config().dHead();
        names.stream()
                .map(name -> VectorCodecs.of(name, dHead))
                .sorted(Comparator.comparingInt(VectorCodec::vectorBytes))
                .forEach(codec -> codecs.put(codec.name(), codec));
    }

    @Override
    public String name() {
        return "quantizers";
    }

    @Override
    public List<String> labels() {
        return List.copyOf(codecs.keySet());
    }

    @Override
    public Set<String> elbowLabels() {
        return Set.copyOf(codecs.keySet());
    }

    @Override
    public Map<String, String> identity() {
        return Map.of("codec", "quantized", "kept", String.join(" ", codecs.keySet()));
    }

    @Override
    public double bytes(Site site, String label) {
        return codecs.get(label).vectorBytes();
    }

    @Override
    public CacheUnderTest alone(Site site, String label) {
        Map<Site, VectorCodec> bySite = new HashMap<>();
        VectorCodec half = VectorCodecs.of("f16", lm.config().dHead());
        Site.ofLayers(lm.config().layers()).forEach(other -> bySite.put(other, half));
        bySite.put(site, codecs.get(label));
        return underTest(bySite);
    }

    @Override
    public QuantizerProfile profile(BudgetPlan plan) {
        return new QuantizerProfile(
                lm.fingerprint(),
                plan.bytes() / lm.config().layers(),
                plan.labels(VectorKind.KEY),
                plan.labels(VectorKind.VALUE));
    }

    @Override
    public CacheUnderTest planned(BudgetPlan plan) {
        return underTest(profile(plan).codecs(lm.config().dHead()));
    }

    private CacheUnderTest underTest(Map<Site, VectorCodec> bySite) {
        return new CacheUnderTest("quantized", () -> SparseKvCache.quantized(lm, bySite, options));
    }
}
