package io.sparrowkv.encode;

import java.util.Optional;

/**
 * Offers the Vector API encoder. No class of that API is named here, so that this one loads on a JVM that runs without it and can
 * say so.
 */
public final class VectorEncoderProvider implements EncoderProvider {
    static final String NAME = "vector";

    private static final String MODULE = "jdk.incubator.vector";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public int preference() {
        return 10;
    }

    @Override
    public Optional<String> unavailable() {
        return ModuleLayer.boot().findModule(MODULE).isPresent()
                ? Optional.empty()
                : Optional.of("this JVM runs without the Vector API; start it with --add-modules " + MODULE);
    }

    @Override
    public EncoderBackend start(int threads) {
        return new VectorBackend(threads, ProductTile.preferred());
    }
}
