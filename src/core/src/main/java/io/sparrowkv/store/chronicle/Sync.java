package io.sparrowkv.store.chronicle;

import io.sparrowkv.io.InvalidInputException;
import java.util.Locale;

/** When a store forces to disk what was put into it. Until then a crash of the machine may lose it; one of the process may not. */
public enum Sync {
    /** Before each put returns. */
    ALWAYS,
    /** Once a second. */
    INTERVAL,
    /** When the store is closed. */
    CLOSE;

    /** The name that {@code --sync} takes. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** @throws InvalidInputException when there is no such way */
    public static Sync of(String label) {
        for (Sync sync : values()) {
            if (sync.label().equals(label)) {
                return sync;
            }
        }
        throw new InvalidInputException("--sync is '" + label + "'; choose always, interval or close");
    }
}
