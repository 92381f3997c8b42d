package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class EncodeThroughputTest {
    @ParameterizedTest
    @ValueSource(strings = {"scalar", "vector"})
    void figuresFitTogether(String name) {
        try (EncoderBackend backend = Encoders.start(name, 2);
                Dictionary dictionary = dictionary()) {
            EncodeThroughput measured = EncodeThroughput.measure(backend, dictionary, 8, 20, Duration.ofMillis(50), 3);
            assertThat(measured.disagreement()).isEmpty();
            assertThat(measured.calls()).isPositive();
            assertThat(measured.p50Micros()).isPositive().isLessThanOrEqualTo(measured.p99Micros());
            assertThat(measured.gigaflops()).isEqualTo(measured.vectorsPerSecond() * 2 * 64 * 300 / 1e9);
        }
    }

    @Test
    void wrongCodesAreReported() {
        // The first row's first index, moved by one.
        try (EncoderBackend backend =
                        new SpoilingBackend(codes -> codes.indices().set(JAVA_INT, 0, (codes.index(0, 0) + 1) % 300));
                Dictionary dictionary = dictionary()) {
            assertThat(EncodeThroughput.measure(backend, dictionary, 8, 20, Duration.ofMillis(5), 3)
                            .disagreement())
                    .hasValueSatisfying(message -> assertThat(message).startsWith("row 0: pair 0: coefficient"));
        }
    }

    @Test
    void onlyABackendThatCanMeasureItsPeakTellsOne() {
        try (EncoderBackend vector = Encoders.start("vector", 2);
                EncoderBackend scalar = Encoders.start("scalar", 1)) {
            assertThat(vector.peakGigaflops().orElseThrow()).isPositive().isFinite();
            assertThat(scalar.peakGigaflops()).isEmpty();
            assertThat(vector.profile(() -> fail("has no device to profile"))).isEmpty();
        }
    }

    private static Dictionary dictionary() {
        return RandomDictionaries.dictionary(Site.of(0, VectorKind.KEY), RopeStage.POST, 64, 300, 1);
    }
}
