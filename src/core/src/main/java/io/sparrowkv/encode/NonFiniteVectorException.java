package io.sparrowkv.encode;

import io.sparrowkv.sae.Site;

/** A vector to be encoded holds NaN or infinity: the model or the capture that it came from is broken. */
public final class NonFiniteVectorException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public NonFiniteVectorException(Site site, int row) {
        super("%s: vector %d of the batch holds NaN or infinity; check the model's weights and the input"
                .formatted(site, row));
    }

    /**
     * Refuses a vector that is not finite.
     *
     * @param row of the batch, for the message
     * @param floats where the vector is
     * @param from its first number
     * @param dHead how many it has
     * @throws NonFiniteVectorException when one of them is NaN or infinite
     */
    public static void requireFinite(Site site, int row, float[] floats, int from, int dHead) {
        for (int i = from; i < from + dHead; i++) {
            if (!Float.isFinite(floats[i])) {
                throw new NonFiniteVectorException(site, row);
            }
        }
    }
}
