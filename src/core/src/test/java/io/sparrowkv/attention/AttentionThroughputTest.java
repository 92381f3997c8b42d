package io.sparrowkv.attention;

import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.ScalarEncoderProvider;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class AttentionThroughputTest {
    @Test
    void measuresWholeTokensAtTheContext() {
        AttentionShape shape = AttentionShape.of(2, 4, 2, 16);
        try (DictionarySet dictionaries = RandomDictionaries.set(2, 0, RopeStage.POST, 16, 40, 40, 1);
                EncoderBackend encoders = new ScalarEncoderProvider().start(1)) {
            AttentionThroughput measured = AttentionThroughput.measure(
                    shape,
                    RotaryEmbedding.plain(16, 10000),
                    dictionaries,
                    encoders,
                    CacheOptions.defaults().withWindow(16),
                    700,
                    3,
                    Duration.ofMillis(20),
                    64 << 20,
                    1);
            assertThat(measured.bytes().tokens()).isGreaterThanOrEqualTo(703);
            assertThat((measured.bytes().tokens() - 700) % 3).isZero();
            assertThat(measured.calls()).isPositive();
            assertThat(measured.p99Micros()).isGreaterThanOrEqualTo(measured.p50Micros());
            assertThat(measured.fillVectorsPerSecond()).isPositive();
        }
    }
}
