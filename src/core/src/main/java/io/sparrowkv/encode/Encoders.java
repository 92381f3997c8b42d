package io.sparrowkv.encode;

import io.sparrowkv.io.InvalidInputException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Chooses an encoder backend by name, and says once what was chosen, what was passed over and why. */
public final class Encoders {
    /** The name that takes the most preferred backend that can start here, or the fastest where that is not the same. */
    public static final String AUTO = "auto";

    private static final Logger LOG = LoggerFactory.getLogger(Encoders.class);

    private Encoders() {}

    /** All providers, the most preferred first. */
    public static List<EncoderProvider> providers() {
        List<EncoderProvider> found = new ArrayList<>();
        ServiceLoader.load(EncoderProvider.class, Encoders.class.getClassLoader())
                .forEach(found::add);
        found.sort(Comparator.comparingInt(EncoderProvider::preference).reversed());
        return List.copyOf(found);
    }

    /**
     * Starts a backend.
     *
     * @param name a provider's name, which then starts or fails, alone or with one of its devices ({@code tornado:opencl:0}), or
     *     {@link #AUTO}
     * @param threads most threads the backend may use
     * @throws InvalidInputException when no provider has that name, or it cannot start here
     */
    public static EncoderBackend start(String name, int threads) {
        return start(providers(), name, threads);
    }

    static EncoderBackend start(List<EncoderProvider> providers, String name, int threads) {
        EncoderBackend backend =
                name.equals(AUTO) ? startFastest(providers, threads) : startNamed(providers, name, threads);
        LOG.info("encoder: {} ({})", backend.name(), backend.description());
        return backend;
    }

    private static EncoderBackend startFastest(List<EncoderProvider> providers, int threads) {
        List<EncoderBackend> started = new ArrayList<>();
        for (EncoderProvider provider : providers) {
            Optional<String> reason = provider.unavailable().or(provider::unsuitedForAuto);
            if (reason.isEmpty()) {
                try {
                    started.add(provider.start(threads));
                    if (!provider.mayBeSlower()) {
                        break;
                    }
                } catch (EncoderUnavailableException e) {
                    reason = Optional.of(e.getMessage());
                }
            }
            reason.ifPresent(why -> LOG.warn("encoder {} is passed over: {}", provider.name(), why));
        }
        if (started.isEmpty()) {
            throw new InvalidInputException("--encoder " + AUTO + ": no encoder can start here");
        }
        return FastestEncoder.of(started);
    }

    private static EncoderBackend startNamed(List<EncoderProvider> providers, String name, int threads) {
        int colon = name.indexOf(':');
        String wanted = colon < 0 ? name : name.substring(0, colon);
        for (EncoderProvider provider : providers) {
            if (wanted.equals(provider.name())) {
                Optional<String> reason = provider.unavailable();
                if (reason.isEmpty()) {
                    try {
                        return colon < 0 ? provider.start(threads) : provider.start(name.substring(colon + 1), threads);
                    } catch (EncoderUnavailableException e) {
                        reason = Optional.of(e.getMessage());
                    }
                }
                throw new InvalidInputException("--encoder " + name + ": " + reason.get());
            }
        }
        String names = providers.stream().map(EncoderProvider::name).collect(Collectors.joining(", "));
        throw new InvalidInputException("--encoder " + name + ": no such encoder; choose auto, " + names);
    }
}
