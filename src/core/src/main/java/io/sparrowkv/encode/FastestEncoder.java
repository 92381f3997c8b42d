package io.sparrowkv.encode;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.time.Duration;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Finds which of several started backends encodes fastest here, by a short measurement of each. */
public final class FastestEncoder {
    private static final Logger LOG = LoggerFactory.getLogger(FastestEncoder.class);

    private static final int WIDTH = 128;
    private static final int LATENTS = 4096;
    private static final int BUDGET = 16;
    private static final int ROWS = 2048;
    private static final Duration TIME = Duration.ofMillis(200);

    private FastestEncoder() {}

    /**
     * The fastest of those whose codes are right; the others are closed. One alone is not measured.
     *
     * @param started at least one
     * @throws EncoderUnavailableException when the codes of all are wrong
     */
    public static EncoderBackend of(List<? extends EncoderBackend> started) {
        if (started.size() == 1) {
            return started.getFirst();
        }
        EncoderBackend fastest = null;
        double most = 0;
        try (Dictionary dictionary =
                RandomDictionaries.dictionary(Site.of(0, VectorKind.VALUE), RopeStage.PRE, WIDTH, LATENTS, 1)) {
            for (EncoderBackend backend : started) {
                EncodeThroughput measured = EncodeThroughput.measure(backend, dictionary, BUDGET, ROWS, TIME, 2);
                if (measured.disagreement().isPresent()) {
                    LOG.warn(
                            "{} is passed over: {}",
                            backend.name(),
                            measured.disagreement().get());
                } else {
                    LOG.info("{} encodes {} vectors a second", backend.name(), Math.round(measured.vectorsPerSecond()));
                    if (measured.vectorsPerSecond() > most) {
                        most = measured.vectorsPerSecond();
                        fastest = backend;
                    }
                }
            }
        } finally {
            for (EncoderBackend backend : started) {
                if (backend != fastest) {
                    backend.close();
                }
            }
        }
        if (fastest == null) {
            throw new EncoderUnavailableException("none of %d encoders gives right codes".formatted(started.size()));
        }
        return fastest;
    }
}
