package io.sparrowkv.train;

import io.sparrowkv.sae.Site;
import java.time.Duration;
import java.util.SortedMap;

/**
 * Where a training stands after a step.
 *
 * @param step steps taken
 * @param steps steps in all
 * @param mean what the step saw, in the mean over sites
 * @param sites what it saw at each site
 * @param vectorsPerSecond of all sites together since this process began to train, reading the source included
 * @param remaining at that rate
 */
public record TrainingProgress(
        int step,
        int steps,
        StepResult mean,
        SortedMap<Site, StepResult> sites,
        double vectorsPerSecond,
        Duration remaining) {
    /** Is told of progress, on the training's own thread. */
    @FunctionalInterface
    public interface Listener {
        void progress(TrainingProgress progress);
    }
}
