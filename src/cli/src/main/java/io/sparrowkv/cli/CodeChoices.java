package io.sparrowkv.cli;

import io.sparrowkv.attention.Budgets;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.CodeProfile;
import io.sparrowkv.attention.CodeProfile.Kept;
import io.sparrowkv.codec.BlockCodec;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.PairFormat;
import io.sparrowkv.eval.BudgetPlan;
import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** Numbers of pairs and bits of residuals of sparse codes, whose coefficients are kept in one form. */
final class CodeChoices implements SiteChoices {
    private final CausalLm lm;
    private final SparseCaches caches;
    private final CacheOptions options;
    private final Map<String, Kept> kept = new LinkedHashMap<>();

    /**
     * @param options with the refinement and the coefficients of all codes
     * @param kept ascending in bits of residuals, then in pairs
     * @throws io.sparrowkv.io.InvalidInputException when one does not fit the model or its dictionaries
     */
    CodeChoices(CausalLm lm, SparseCaches caches, CacheOptions options, List<Kept> kept) {
        this.lm = lm;
        this.caches = caches;
        this.options = options;
        for (Kept choice : kept) {
            options.withBudgets(Budgets.of(choice.pairs(), choice.pairs()))
                    .withResidualBits(choice.residualBits())
                    .validate(lm.config().attentionShape(), caches.dictionaries());
            this.kept.put(choice.label(), choice);
        }
    }

    @Override
    public String name() {
        return options.coefficients().scaled()
                ? options.coefficients().label() + "-bit coefficients"
                : options.coefficients().label() + " coefficients";
    }

    @Override
    public List<String> labels() {
        return List.copyOf(kept.keySet());
    }

    /** Those with the fewest bits of residuals. */
    @Override
    public Set<String> elbowLabels() {
        int fewest = kept.values().iterator().next().residualBits();
        return kept.values().stream()
                .filter(choice -> choice.residualBits() == fewest)
                .map(Kept::label)
                .collect(Collectors.toUnmodifiableSet());
    }

    @Override
    public Map<String, String> identity() {
        PairFormat format = PairFormat.of(options.coefficients(), 0, CacheOptions.mostLatents(caches.dictionaries()));
        return Map.of(
                "dictionaries", caches.dictionaries().fingerprint(),
                "codec", new BlockCodec(format, options.refinement()).label(),
                "kept", String.join(" ", kept.keySet()));
    }

    @Override
    public double bytes(Site site, String label) {
        CodeBlockLayout layout = optionsAlone(site, label)
                .layout(lm.config().attentionShape(), caches.dictionaries(), site.layer(), site.kind());
        return (double) layout.byteSize()
                / (CodeBlockLayout.TOKENS * lm.config().kvHeads());
    }

    @Override
    public CacheUnderTest alone(Site site, String label) {
        return caches.underTest(optionsAlone(site, label));
    }

    private CacheOptions optionsAlone(Site site, String label) {
        Kept choice = kept.get(label);
        Budgets dense = Budgets.of(Budgets.DENSE, Budgets.DENSE);
        return options.withBudgets(dense.with(site.layer(), site.kind(), choice.pairs()))
                .withResidualBits(choice.residualBits());
    }

    @Override
    public CodeProfile profile(BudgetPlan plan) {
        return new CodeProfile(
                lm.fingerprint(),
                caches.dictionaries().fingerprint(),
                options.refinement(),
                options.coefficients(),
                plan.bytes() / lm.config().layers(),
                kept(plan, VectorKind.KEY),
                kept(plan, VectorKind.VALUE));
    }

    private List<Kept> kept(BudgetPlan plan, VectorKind kind) {
        return plan.labels(kind).stream().map(kept::get).toList();
    }

    @Override
    public CacheUnderTest planned(BudgetPlan plan) {
        return caches.underTest(profile(plan).applyTo(options));
    }
}
