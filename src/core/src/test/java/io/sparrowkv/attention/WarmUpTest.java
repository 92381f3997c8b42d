package io.sparrowkv.attention;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class WarmUpTest {
    @Test
    void itRunsUntilItIsClosedAndMeetsNoError() throws InterruptedException {
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Thread.UncaughtExceptionHandler former = Thread.getDefaultUncaughtExceptionHandler();
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> failure.set(error));
        try (WarmUp warmUp = WarmUp.start(AttentionShape.of(6, 6, 2, 80))) {
            assertThat(warmUp.join(Duration.ofMillis(1500))).as("it goes on").isFalse();
            warmUp.close();
            assertThat(warmUp.join(Duration.ofSeconds(60))).as("it ends").isTrue();
        } finally {
            Thread.setDefaultUncaughtExceptionHandler(former);
        }
        assertThat(failure.get()).isNull();
    }
}
