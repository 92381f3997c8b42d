package io.sparrowkv.cli;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** A size such as {@code 512M} or {@code 4G}, in powers of 1024. */
record ByteSize(long bytes) {
    /** Reads a size. */
    static final class Converter implements ITypeConverter<ByteSize> {
        private static final Pattern FORM = Pattern.compile("(\\d{1,18})([KMGT]?)(iB|B)?", Pattern.CASE_INSENSITIVE);
        private static final String PREFIXES = "KMGT";

        @Override
        public ByteSize convert(String text) {
            Matcher matcher = FORM.matcher(text);
            if (matcher.matches()) {
                long number = Long.parseLong(matcher.group(1));
                String prefix = matcher.group(2).toUpperCase(Locale.ROOT);
                int shift = prefix.isEmpty() ? 0 : 10 * (1 + PREFIXES.indexOf(prefix));
                if (number > 0 && number <= Long.MAX_VALUE >> shift) {
                    return new ByteSize(number << shift);
                }
            }
            throw new TypeConversionException("'" + text + "' is not a size, such as 512M or 4G");
        }
    }
}
