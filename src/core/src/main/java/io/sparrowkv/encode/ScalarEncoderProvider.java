package io.sparrowkv.encode;

import io.sparrowkv.sae.Dictionary;
import java.util.Optional;

/** Offers the scalar oracle: right everywhere, and slow. */
public final class ScalarEncoderProvider implements EncoderProvider {
    @Override
    public String name() {
        return "scalar";
    }

    @Override
    public int preference() {
        return 0;
    }

    @Override
    public Optional<String> unavailable() {
        return Optional.empty();
    }

    @Override
    public EncoderBackend start(int threads) {
        return new EncoderBackend() {
            @Override
            public String name() {
                return "scalar";
            }

            @Override
            public String description() {
                return "plain Java, 1 thread";
            }

            @Override
            public TopKEncoder open(Dictionary dictionary) {
                return new ScalarTopKEncoder(dictionary);
            }

            @Override
            public void close() {
                // Holds nothing.
            }
        };
    }
}
