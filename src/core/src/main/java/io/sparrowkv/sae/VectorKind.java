package io.sparrowkv.sae;

import java.util.Locale;

/** Which of a layer's two cached vectors a site holds. */
public enum VectorKind {
    KEY,
    VALUE;

    /** The name used in files and messages: {@code key} or {@code value}. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
