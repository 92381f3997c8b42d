package io.sparrowkv.eval;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * Prose in which facts were planted, each a line of its own between two paragraphs: a cache that forgets them answers wrongly when
 * asked, however good its perplexity.
 *
 * @param text the prose with its facts, ending in a newline
 * @param facts in the order in which they stand in the text
 */
public record PlantedFacts(String text, List<Fact> facts) {
    private static final List<String> NAMES =
            List.of("Arthur", "Eleanor", "Henry", "Margaret", "Philip", "Charlotte", "Walter", "Dorothy");

    private static final int DIGITS = 5;

    /** A name and its number. */
    public record Fact(String name, String number) {
        /** The line that is planted. */
        public String statement() {
            return question() + " " + number + ".";
        }

        /** The beginning of the statement, for the model to complete. */
        public String question() {
            return "The secret number of " + name + " is";
        }

        /** The number that an answer gives: its first digits, as many as a number has; shorter when it has fewer. */
        public static String numberIn(String answer) {
            String digits = answer.strip();
            int end = 0;
            while (end < Math.min(DIGITS, digits.length()) && Character.isDigit(digits.charAt(end))) {
                end++;
            }
            return digits.substring(0, end);
        }
    }

    /**
     * Plants facts at even depths.
     *
     * @param paragraphs the prose
     * @param count number of facts, at most the number of names
     * @param seed chooses names and numbers
     */
    public static PlantedFacts plant(List<String> paragraphs, int count, long seed) {
        if (count < 1 || count > Math.min(NAMES.size(), paragraphs.size())) {
            throw new IllegalArgumentException(count + " facts in " + paragraphs.size() + " paragraphs");
        }
        Random random = new Random(seed);
        List<String> names = new ArrayList<>(NAMES);
        Collections.shuffle(names, random);
        List<Fact> facts = new ArrayList<>();
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < paragraphs.size(); i++) {
            text.append(paragraphs.get(i)).append('\n');
            if (facts.size() < count && i + 1 >= (facts.size() + 1) * paragraphs.size() / (count + 1)) {
                String number = String.valueOf(10_000 + random.nextInt(90_000));
                facts.add(new Fact(names.get(facts.size()), number));
                text.append(facts.getLast().statement()).append('\n');
            }
        }
        return new PlantedFacts(text.toString(), List.copyOf(facts));
    }
}
