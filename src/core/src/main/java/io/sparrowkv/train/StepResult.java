package io.sparrowkv.train;

import java.util.Collection;

/**
 * What one step saw of its batch, before it changed the weights.
 *
 * @param loss weighted mean of the squared errors at each budget, per number; about 1 where nothing is explained
 * @param explainedVariance at the largest budget: 1 − |x − x̂|² / |x − mean|²
 * @param l0 mean number of pairs in a code
 * @param deadShare part of the latents that have not fired for long
 */
public record StepResult(double loss, double explainedVariance, double l0, double deadShare) {
    static StepResult mean(Collection<StepResult> results) {
        double loss = 0;
        double explained = 0;
        double l0 = 0;
        double dead = 0;
        for (StepResult result : results) {
            loss += result.loss;
            explained += result.explainedVariance;
            l0 += result.l0;
            dead += result.deadShare;
        }
        int n = results.size();
        return new StepResult(loss / n, explained / n, l0 / n, dead / n);
    }
}
