package io.sparrowkv.tornado;

import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A device did not do what it was asked to. */
final class DeviceFailedException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private static final Pattern COLOUR = Pattern.compile("\u001b\\[[0-9;]*m");
    private static final int MOST_LINES = 2;

    DeviceFailedException(String reason, Throwable cause) {
        super(reason, cause);
    }

    /** What went wrong, in one line: of TornadoVM's messages without their colours, traces and the fall-back that is switched off. */
    static String line(Throwable e) {
        String message = e.getMessage() == null ? "" : e.getMessage();
        String line = COLOUR.matcher(message)
                .replaceAll("")
                .lines()
                .map(text -> text.strip().replaceFirst("^Reason: ", ""))
                .filter(text -> !text.isEmpty())
                .filter(text ->
                        Stream.of("Bailout is disabled", "Stacktrace:", "at ").noneMatch(text::startsWith))
                .limit(MOST_LINES)
                .collect(Collectors.joining("; "));
        return line.isEmpty() ? e.getClass().getSimpleName() : line;
    }
}
