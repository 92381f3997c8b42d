package io.sparrowkv.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class QuantitiesTest {
    @ParameterizedTest
    @CsvSource({
        "0, 0 B",
        "1, 1 B",
        "1023, 1023 B",
        "1024, 1.00 KiB",
        "1536, 1.50 KiB",
        "1048575, 1.00 MiB",
        "112000000, 107 MiB",
        "9223372036854775807, 8.00 EiB"
    })
    void bytesCarryABinaryPrefix(long bytes, String text) {
        assertThat(Quantities.bytes(bytes)).isEqualTo(text);
    }

    @Test
    void negativeBytesAreRefused() {
        assertThatThrownBy(() -> Quantities.bytes(-1L)).isInstanceOf(IllegalArgumentException.class);
    }

    @ParameterizedTest
    @CsvSource({"0, 0 vectors/s", "999.6, 1.00k vectors/s", "152340, 152k vectors/s", "2.5e9, 2.50G vectors/s"})
    void ratesCarryADecimalPrefix(double rate, String text) {
        assertThat(Quantities.rate(rate, "vectors")).isEqualTo(text);
    }

    @ParameterizedTest
    @CsvSource({
        "350000, 350 µs",
        "12500000, 12.5 ms",
        "1200000000, 1.20 s",
        "125000000000, 2 min 5 s",
        "3660000000000, 1 h 1 min"
    })
    void timesTakeTheUnitThatFits(long nanos, String text) {
        assertThat(Quantities.time(Duration.ofNanos(nanos))).isEqualTo(text);
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "0.012345, 0.0123", "1.2345, 1.23", "-12.345, -12.3", "1234.4, 1234", "NaN, NaN"})
    void numbersHaveThreeSignificantDigits(double value, String text) {
        assertThat(Quantities.digits(value)).isEqualTo(text);
    }

    @Test
    void theDefaultLocaleDoesNotMatter() {
        Locale before = Locale.getDefault();
        try {
            Locale.setDefault(Locale.GERMANY);
            assertThat(Quantities.percent(0.125)).isEqualTo("12.5%");
            assertThat(Quantities.count(6_663_424)).isEqualTo("6,663,424");
            assertThat(Quantities.bytes(1536L)).isEqualTo("1.50 KiB");
        } finally {
            Locale.setDefault(before);
        }
    }
}
