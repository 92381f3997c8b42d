package io.sparrowkv.train;

import java.util.List;

/**
 * How well a dictionary codes vectors it was not trained on.
 *
 * @param site name of the site
 * @param rope stage of the keys
 * @param vectors vectors it was measured on
 * @param fidelity at each budget, ascending
 * @param l0 mean number of pairs at the training's largest budget
 * @param deadShare part of the latents that fired for none of the vectors at that budget
 * @param density how often latents fire at that budget
 */
public record SiteReport(
        String site,
        String rope,
        int dHead,
        int latents,
        int vectors,
        List<Fidelity> fidelity,
        double l0,
        double deadShare,
        Density density) {
    /**
     * Fidelity at one budget.
     *
     * @param budget pairs read, K
     * @param fvu fraction of variance unexplained: Σ|x − x̂|² / Σ|x − mean|²
     * @param cosine mean cosine of x and x̂
     */
    public record Fidelity(int budget, double fvu, double cosine) {}

    /**
     * Histogram of the latents' firing frequency, the part of the vectors for which a latent is in the code.
     *
     * @param log10From lower edge of each bin in log10 of the frequency, ascending; the last ends at 0
     * @param latents latents in each bin; rarer ones are in the first
     * @param silent latents that never fired
     */
    public record Density(List<Double> log10From, List<Integer> latents, int silent) {}
}
