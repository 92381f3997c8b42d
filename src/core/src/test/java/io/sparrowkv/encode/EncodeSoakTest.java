package io.sparrowkv.encode;

import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Test;

class EncodeSoakTest {
    @Test
    void memoryThatGrowsShowsAndMemoryThatStaysDoesNot() {
        try (EncoderBackend backend = Encoders.start("vector", 2)) {
            EncodeSoak steady = run(backend, () -> 1 << 30);
            assertThat(steady.grownBytes()).isZero();
            assertThat(steady.disagreement()).isEmpty();
            assertThat(steady.batches()).isGreaterThanOrEqualTo(steady.checkedVectors());
            assertThat(steady.vectors()).isGreaterThanOrEqualTo(steady.batches());
            assertThat(steady.checkedVectors()).isPositive();
            AtomicLong resident = new AtomicLong();
            EncodeSoak leaking = run(backend, () -> resident.addAndGet(1000));
            assertThat(leaking.samples()).hasSizeGreaterThan(5);
            assertThat(leaking.grownBytes()).isGreaterThan(1000);
        }
    }

    @Test
    void aWrongCodeIsReported() {
        try (EncoderBackend backend =
                new SpoilingBackend(codes -> codes.coefficients().fill((byte) 0))) {
            assertThat(run(backend, () -> 0).disagreement())
                    .hasValueSatisfying(message -> assertThat(message).contains("coefficient"));
        }
    }

    private static EncodeSoak run(EncoderBackend backend, LongSupplier residentBytes) {
        try (DictionarySet set = RandomDictionaries.set(2, 0, RopeStage.PRE, 16, 40, 50, 1)) {
            return EncodeSoak.run(backend, set, 4, Duration.ofSeconds(1), residentBytes, 2);
        }
    }
}
