package io.sparrowkv.encode;

import io.sparrowkv.io.InvalidInputException;
import java.util.List;
import java.util.Optional;

/** One way of encoding, found by {@link java.util.ServiceLoader}. */
public interface EncoderProvider {
    /** Name as {@code --encoder} takes it. */
    String name();

    /** Rank for {@code auto}: of the providers that can start, the highest is taken, unless it {@link #mayBeSlower}. */
    int preference();

    /** Why it cannot start here and what to do about it, in one line; empty when it can. */
    Optional<String> unavailable();

    /** Why {@code auto} should pass it over although it can start here, in one line; empty when it may be taken. */
    default Optional<String> unsuitedForAuto() {
        return Optional.empty();
    }

    /**
     * Whether it may be slower than those of a lower rank, as a small GPU than a CPU's vector units: {@code auto} then measures it and
     * the next ones, and takes the fastest.
     */
    default boolean mayBeSlower() {
        return false;
    }

    /** The devices to choose from, the preferred first; none when there is nothing to choose. */
    default List<EncoderDevice> devices() {
        return List.of();
    }

    /** What {@code --encoder} takes for it: its name, or one name for each of its devices. */
    default List<String> names() {
        List<EncoderDevice> devices = devices();
        return devices.isEmpty()
                ? List.of(name())
                : devices.stream().map(EncoderDevice::encoder).toList();
    }

    /**
     * Starts the backend with at most {@code threads} threads of its own, on the preferred device.
     *
     * @throws EncoderUnavailableException when it turns out not to work here
     */
    EncoderBackend start(int threads);

    /**
     * Starts the backend on a device of the user's choice.
     *
     * @param device what follows the provider's name and a colon in {@code --encoder}
     * @throws InvalidInputException when there is no such device
     * @throws EncoderUnavailableException when it turns out not to work here
     */
    default EncoderBackend start(String device, int threads) {
        throw new InvalidInputException(
                "--encoder %s:%s: %s has no devices to choose from".formatted(name(), device, name()));
    }
}
