package io.sparrowkv.train;

import io.sparrowkv.io.InvalidInputException;

/**
 * How latents that stopped firing are brought back (AuxK, Gao et al., arXiv 2406.04093): the dead ones alone code what the living
 * leave over. Where codes are refined, the dead are replaced instead ({@link DeadReplacement}).
 *
 * @param deadAfter vectors without firing after which a latent counts as dead
 * @param budget pairs of a dead code
 * @param rows vectors of each batch that the dead code; a part of the batch is enough and costs less
 * @param weight of this loss beside the main one; 0 turns it off
 */
public record AuxiliaryLoss(long deadAfter, int budget, int rows, float weight) {
    public static final AuxiliaryLoss DEFAULT = new AuxiliaryLoss(200_000, 64, 512, 1f / 32);

    public AuxiliaryLoss {
        if (deadAfter < 1 || budget < 1 || rows < 1 || !(weight >= 0) || !Float.isFinite(weight)) {
            throw new InvalidInputException("dead after %d vectors, budget %d, rows %d, weight %s: all must be positive"
                    .formatted(deadAfter, budget, rows, weight));
        }
    }

    /** The same definition of the dead, without a loss. */
    AuxiliaryLoss off() {
        return new AuxiliaryLoss(deadAfter, budget, rows, 0);
    }
}
