package io.sparrowkv.llm.generate;

import java.util.List;

/** Lets text pass up to the first stop string; what could still become one is held back. */
final class StopStrings {
    private final List<String> stops;
    private String held = "";
    private boolean met;

    /** @param stops none of them empty */
    StopStrings(List<String> stops) {
        this.stops = stops;
    }

    /** Takes text and gives what is certain to come before any stop string. */
    String append(String text) {
        if (met) {
            return "";
        }
        String all = held + text;
        int end =
                stops.stream().mapToInt(all::indexOf).filter(i -> i >= 0).min().orElse(-1);
        met = end >= 0;
        int pass = met ? end : all.length() - possibleStart(all);
        held = met ? "" : all.substring(pass);
        return all.substring(0, pass);
    }

    /** Length of the longest end of {@code text} that begins a stop string. */
    private int possibleStart(String text) {
        int longest = 0;
        for (String stop : stops) {
            for (int length = Math.min(stop.length() - 1, text.length()); length > longest; length--) {
                if (text.endsWith(stop.substring(0, length))) {
                    longest = length;
                }
            }
        }
        return longest;
    }

    /** Whether a stop string has come. */
    boolean met() {
        return met;
    }

    /** What was held back, at the end of the text. */
    String finish() {
        String rest = held;
        held = "";
        return rest;
    }
}
