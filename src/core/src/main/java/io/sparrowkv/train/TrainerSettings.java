package io.sparrowkv.train;

import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;

/**
 * How the dictionary of one site is trained.
 *
 * @param latents number of atoms, M
 * @param refinement of the codes that the atoms are trained on; without one they are the encoder's own
 * @param seed of the first atoms
 */
public record TrainerSettings(
        int latents,
        PrefixLoss loss,
        Schedule schedule,
        AuxiliaryLoss auxiliary,
        Initialisation initialisation,
        Refinement refinement,
        long seed) {
    public TrainerSettings {
        if (latents < loss.largestBudget()) {
            throw new InvalidInputException("latents is %d, fewer than the largest budget %d; use more latents"
                    .formatted(latents, loss.largestBudget()));
        }
    }

    /** The measured defaults. */
    public static TrainerSettings of(int latents, Schedule schedule, long seed) {
        return new TrainerSettings(
                latents,
                PrefixLoss.DEFAULT,
                schedule,
                AuxiliaryLoss.DEFAULT,
                Initialisation.DATA,
                Refinement.NONE,
                seed);
    }
}
