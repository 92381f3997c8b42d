package io.sparrowkv.encode;

import java.util.Optional;

/** One way of encoding, found by {@link java.util.ServiceLoader}. */
public interface EncoderProvider {
    /** Name as {@code --encoder} takes it. */
    String name();

    /** Rank for {@code auto}: of the providers that can start, the highest is taken. */
    int preference();

    /** Why it cannot start here and what to do about it, in one line; empty when it can. */
    Optional<String> unavailable();

    /** Starts the backend with at most {@code threads} threads of its own. */
    EncoderBackend start(int threads);
}
