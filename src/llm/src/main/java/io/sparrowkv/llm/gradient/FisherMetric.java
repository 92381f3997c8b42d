package io.sparrowkv.llm.gradient;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Deviations;
import io.sparrowkv.llm.model.DifferentiableLm;
import io.sparrowkv.llm.model.FarReads;
import io.sparrowkv.llm.model.GradientPass;
import io.sparrowkv.llm.model.PassLoss;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.Site;
import java.lang.foreign.MemorySegment;
import java.util.Collection;
import java.util.SortedMap;
import java.util.SplittableRandom;
import java.util.TreeMap;

/**
 * How much a model's predictions change with a vector's deviation in each direction, as a matrix S for each site: to second order
 * E[KL(dense ‖ deviating)], summed over the tokens of a context, is ½ δᵀSδ for a deviation δ that one average vector has where it is
 * read far.
 *
 * <p>S is the mean of g gᵀ, g being the gradient by a vector's deviation of the log likelihood of labels that are drawn from the
 * model's own predictions: the Fisher information (Amari 1998; with drawn, not true, labels as Kunstner et al., arXiv 1905.12558,
 * recommend).
 */
public final class FisherMetric {
    /** Is told of progress after each context. */
    @FunctionalInterface
    public interface Progress {
        void contexts(int done, int all);
    }

    private final CausalLm lm;
    private final FarReads reads;
    private final DifferentiableLm differentiable;

    /** @param lm stays the caller's to close */
    public FisherMetric(CausalLm lm, FarReads reads) {
        this.lm = lm;
        this.reads = reads;
        this.differentiable = new DifferentiableLm(lm, reads);
    }

    /**
     * Measures S for some sites over the first contexts of a text. Vectors that no query reads far are left out.
     *
     * @param text of the same model
     * @param contexts how many, from 1 to all
     * @param sites what to measure: a whole layer's vectors of one kind, those of one KV head, or of all of a token's side by side
     * @param seed of the labels
     * @return a moment for each site, keys at the stage of {@link FarReads#keys}
     * @throws InvalidInputException when the text has fewer contexts, or they are so short that a site has no vector that is read far
     */
    public SortedMap<Site, SecondMoment> measure(
            ModelVectorSource text, int contexts, Collection<Site> sites, long seed, Progress progress) {
        if (contexts < 1 || contexts > text.chunks()) {
            throw new InvalidInputException("%d contexts are asked of a text that has %d; choose from 1 to %d"
                    .formatted(contexts, text.chunks(), text.chunks()));
        }
        SortedMap<Site, MomentSum> sums = new TreeMap<>();
        sites.forEach(site -> sums.put(site, new MomentSum(width(site))));
        SplittableRandom seeds = new SplittableRandom(seed);
        for (int context = 0; context < contexts; context++) {
            int[] tokens = text.tokens(context);
            try (GradientPass pass =
                    differentiable.pass(tokens, Deviations.NONE, new PassLoss.SampledLabels(seeds.nextLong()))) {
                sums.forEach((site, sum) -> add(site, sum, tokens.length, pass.gradient(site.layer(), site.kind())));
            }
            progress.contexts(context + 1, contexts);
        }
        SortedMap<Site, SecondMoment> moments = new TreeMap<>();
        sums.forEach((site, sum) -> moments.put(site, mean(site, sum)));
        return moments;
    }

    /** @param gradient fp32 {@code [tokens, kvHeads, dHead]} */
    private void add(Site site, MomentSum sum, int tokens, MemorySegment gradient) {
        int kvHeads = lm.config().kvHeads();
        int window = lm.config().slidingWindows().get(site.layer());
        int first = site.heads() == Heads.EACH ? site.head() : 0;
        int vectors = site.heads().vectorsOfToken(kvHeads);
        int width = width(site);
        for (int token = 0; token < tokens; token++) {
            if (!reads.hasFarReader(token, tokens, window)) {
                continue;
            }
            long at = ((long) token * kvHeads + first) * lm.config().dHead();
            for (int vector = 0; vector < vectors; vector++) {
                sum.add(gradient, at + (long) vector * width);
            }
        }
    }

    private int width(Site site) {
        return site.heads().width(lm.config().kvHeads(), lm.config().dHead());
    }

    private SecondMoment mean(Site site, MomentSum sum) {
        if (sum.vectors() == 0) {
            throw new InvalidInputException(
                    "%s: no vector is read far with window %d and %d sinks; use longer contexts or a shorter window"
                            .formatted(site, reads.window(), reads.sinks()));
        }
        return sum.mean();
    }
}
