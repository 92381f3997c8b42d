package io.sparrowkv.capture;

import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.VectorKind;

/** A place in an attention layer where vectors are taken. */
public enum Tap {
    /** Keys after any key norm and before the rotary position embedding. */
    KEY_PRE("key_pre"),
    /** Keys after the rotary position embedding, as attention reads them. */
    KEY_POST("key_post"),
    VALUE("value");

    private final String label;

    Tap(String label) {
        this.label = label;
    }

    /** The name used in files and messages: {@code key_pre}, {@code key_post} or {@code value}. */
    public String label() {
        return label;
    }

    /** The tap that a dictionary of this kind reads; {@code rope} is of no meaning for values. */
    public static Tap of(VectorKind kind, RopeStage rope) {
        return switch (kind) {
            case VALUE -> VALUE;
            case KEY -> rope == RopeStage.PRE ? KEY_PRE : KEY_POST;
        };
    }
}
