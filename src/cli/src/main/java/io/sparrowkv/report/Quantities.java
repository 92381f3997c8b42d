package io.sparrowkv.report;

import java.math.BigDecimal;
import java.math.MathContext;
import java.time.Duration;
import java.util.Locale;

/** Numbers with units as people read them, three significant digits, the same in every locale. */
public final class Quantities {
    private static final String[] BINARY = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    private static final String[] DECIMAL = {"", "k", "M", "G", "T"};

    private Quantities() {}

    /** Bytes with a binary prefix: {@code 1.50 MiB}; below one KiB exact: {@code 17 B}. */
    public static String bytes(long bytes) {
        if (bytes < 0) {
            throw new IllegalArgumentException("bytes " + bytes);
        }
        return bytes < 1024 ? bytes + " B" : scaled((double) bytes, 1024, BINARY, " ");
    }

    /** Bytes for each token, which need not be whole: {@code 143 B}. */
    public static String bytes(double bytes) {
        return bytes < 1024 ? digits(bytes) + " B" : scaled(bytes, 1024, BINARY, " ");
    }

    /** Things per second with a decimal prefix: {@code 152k vectors/s}. */
    public static String rate(double perSecond, String unit) {
        return scaled(perSecond, 1000, DECIMAL, "") + " " + unit + "/s";
    }

    /** A time from microseconds to hours: {@code 350 µs}, {@code 1.20 s}, {@code 2 min 5 s}. */
    public static String time(Duration time) {
        double seconds = time.toNanos() / 1e9;
        if (seconds < 1e-3) {
            return digits(seconds * 1e6) + " µs";
        }
        if (seconds < 1) {
            return digits(seconds * 1e3) + " ms";
        }
        if (seconds < 60) {
            return digits(seconds) + " s";
        }
        long whole = Math.round(seconds);
        return whole < 3600
                ? "%d min %d s".formatted(whole / 60, whole % 60)
                : "%d h %d min".formatted(whole / 3600, whole % 3600 / 60);
    }

    /** A share as a percentage: {@code 12.5%}. */
    public static String percent(double share) {
        return String.format(Locale.ROOT, "%.1f%%", 100 * share);
    }

    /** A count with thousands set apart: {@code 6,663,424}. */
    public static String count(long count) {
        return String.format(Locale.ROOT, "%,d", count);
    }

    /** A number with three significant digits, whole from 100 on: {@code 0.0123}, {@code 1.23}, {@code 123}. */
    public static String digits(double value) {
        if (!Double.isFinite(value)) {
            return Double.toString(value);
        }
        if (value == 0) {
            return "0";
        }
        // Rounded first: 0.9996 has its first digit before the point.
        BigDecimal rounded = new BigDecimal(value).round(new MathContext(3));
        int firstDigit = rounded.precision() - rounded.scale() - 1;
        int decimals = Math.clamp(2 - firstDigit, 0, 9);
        return String.format(Locale.ROOT, "%." + decimals + "f", value);
    }

    private static String scaled(double value, int base, String[] prefixes, String separator) {
        double scaled = value;
        int prefix = 0;
        // 999.5 would print as 1000: it belongs to the next prefix.
        while (Math.abs(scaled) >= base - 0.5 && prefix < prefixes.length - 1) {
            scaled /= base;
            prefix++;
        }
        return digits(scaled) + separator + prefixes[prefix];
    }
}
