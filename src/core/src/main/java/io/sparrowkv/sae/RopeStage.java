package io.sparrowkv.sae;

import java.util.Locale;

/** Whether the vectors of a key dictionary were taken before or after the rotary position embedding. */
public enum RopeStage {
    PRE,
    POST;

    /** The name used in files, options and messages: {@code pre} or {@code post}. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
