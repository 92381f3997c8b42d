package io.sparrowkv.train;

import java.util.Locale;

/** Where the first atoms come from. */
public enum Initialisation {
    /** Directions of training vectors, seen from b_dec. */
    DATA,
    /** Directions drawn evenly from the sphere. */
    RANDOM;

    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
