package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Layers as an option names them: {@code 0,2,4-6}. */
final class LayerList {
    private static final Pattern PART = Pattern.compile("(\\d{1,6})(?:-(\\d{1,6}))?");

    private LayerList() {}

    /**
     * @param option as the user wrote it, such as {@code --layers}
     * @param layers the model's number of layers
     * @return the named layers, ascending, each once
     * @throws InvalidInputException when a part is no layer or range of layers, or is not there
     */
    static List<Integer> parse(String option, String text, int layers) {
        TreeSet<Integer> found = new TreeSet<>();
        for (String part : text.split(",", -1)) {
            Matcher matcher = PART.matcher(part.strip());
            if (!matcher.matches()) {
                throw new InvalidInputException(
                        "%s '%s': '%s' is no layer; write such as 0,2,4-6".formatted(option, text, part));
            }
            int from = Integer.parseInt(matcher.group(1));
            int to = matcher.group(2) == null ? from : Integer.parseInt(matcher.group(2));
            if (from > to || to >= layers) {
                throw new InvalidInputException("%s '%s': '%s' is not within the model's layers, 0 to %d"
                        .formatted(option, text, part, layers - 1));
            }
            for (int layer = from; layer <= to; layer++) {
                found.add(layer);
            }
        }
        return new ArrayList<>(found);
    }
}
