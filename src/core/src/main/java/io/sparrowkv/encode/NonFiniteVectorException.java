package io.sparrowkv.encode;

import io.sparrowkv.sae.Site;

/** A vector to be encoded holds NaN or infinity: the model or the capture that it came from is broken. */
public final class NonFiniteVectorException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    public NonFiniteVectorException(Site site, int row) {
        super("%s: vector %d of the batch holds NaN or infinity; check the model's weights and the input"
                .formatted(site, row));
    }
}
