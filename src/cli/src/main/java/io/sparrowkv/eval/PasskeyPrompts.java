package io.sparrowkv.eval;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/**
 * Passkey prompts (Mohtashami and Jaggi, arXiv 2305.16300): stretches of prose, each with a few facts planted at even depths, and a
 * question for each fact in a shuffled order. Lengths go round a ladder up to the longest; all else follows from the seed.
 */
public final class PasskeyPrompts {
    /**
     * Facts of one prompt: of two the bundled model finds eight in ten through the dense cache, of four less than half, since it takes
     * them for each other; and two cost half the reading of one.
     */
    public static final int FACTS = 2;

    /** Lengths of prompts as parts of the longest; the bundled model seldom repeats what stands less than 300 tokens back. */
    private static final double[] LENGTHS = {0.4, 0.6, 0.8, 1};

    /** Room for questions and answers, and for what the planted lines add. */
    private static final int QUESTION_TOKENS = 40;

    private PasskeyPrompts() {}

    /**
     * One prompt.
     *
     * @param context tokens of the prose with its facts
     * @param questions in the order of asking
     */
    public record Prompt(int[] context, List<Question> questions) {
        /** Tokens of the prompt with all questions and answers. */
        public int tokens() {
            return context.length
                    + questions.stream().mapToInt(q -> q.tokens().length).sum();
        }
    }

    /**
     * A question with its answer: the planted line again.
     *
     * @param tokens of question, answer and end of line
     * @param answerFrom the first token of the answer
     * @param answerTo the token after the answer's last digit
     * @param depth where the fact stands in the context, 0 for its beginning and 1 for its end
     * @param distance tokens from the fact to the end of the context
     */
    public record Question(int[] tokens, int answerFrom, int answerTo, double depth, int distance) {}

    /**
     * Makes prompts.
     *
     * @param prose lines of the text to plant in
     * @param cases facts to ask for, over all prompts, at least
     * @param longest tokens of the longest prompt with its questions
     * @throws InvalidInputException when the text is too short, or the length leaves no room for a fact
     */
    public static List<Prompt> make(TextTokenizer tokenizer, List<String> prose, int cases, int longest, long seed) {
        Random random = new Random(seed);
        List<String> paragraphs = prose.stream().filter(line -> !line.isBlank()).toList();
        int[] lengths = paragraphs.stream()
                .mapToInt(line -> tokenizer.encode(line + "\n").length)
                .toArray();
        List<Prompt> prompts = new ArrayList<>();
        for (int made = 0; made < cases; made += FACTS) {
            int target = (int) (longest * LENGTHS[prompts.size() % LENGTHS.length]) - 2 * FACTS * QUESTION_TOKENS;
            if (target < FACTS * QUESTION_TOKENS) {
                throw new InvalidInputException("passkeys in contexts of %d tokens: choose at least %d"
                        .formatted(longest, (int) (3 * FACTS * QUESTION_TOKENS / LENGTHS[0])));
            }
            prompts.add(prompt(tokenizer, stretch(paragraphs, lengths, target, random), random));
        }
        return prompts;
    }

    /** Consecutive paragraphs of about {@code target} tokens from a random place on. */
    private static List<String> stretch(List<String> paragraphs, int[] lengths, int target, Random random) {
        int last = paragraphs.size();
        for (int tokens = 0; tokens < target; ) {
            if (--last < 0) {
                throw new InvalidInputException(
                        "the text has fewer than %d tokens, too few to plant passkeys in; give a longer one"
                                .formatted(target));
            }
            tokens += lengths[last];
        }
        int from = random.nextInt(last + 1);
        int to = from;
        for (int tokens = 0; to < paragraphs.size() && (tokens + lengths[to] <= target || to - from < FACTS); to++) {
            tokens += lengths[to];
        }
        return paragraphs.subList(from, to);
    }

    private static Prompt prompt(TextTokenizer tokenizer, List<String> paragraphs, Random random) {
        PlantedFacts planted = PlantedFacts.plant(paragraphs, FACTS, random.nextLong());
        int[] context = tokenizer.encode(planted.text());
        List<Question> questions = new ArrayList<>();
        for (PlantedFacts.Fact fact : planted.facts()) {
            String before = planted.text().substring(0, planted.text().indexOf(fact.statement()));
            int at = tokenizer.encode(before).length;
            questions.add(question(tokenizer, fact, (double) at / context.length, context.length - at));
        }
        Collections.shuffle(questions, random);
        return new Prompt(context, List.copyOf(questions));
    }

    private static Question question(TextTokenizer tokenizer, PlantedFacts.Fact fact, double depth, int distance) {
        int[] tokens = tokenizer.encode(fact.statement() + "\n");
        int from = common(tokens, tokenizer.encode(fact.question()));
        int to = common(tokens, tokenizer.encode(fact.question() + " " + fact.number()));
        return new Question(tokens, from, to, depth, distance);
    }

    private static int common(int[] a, int[] b) {
        int mismatch = Arrays.mismatch(a, b);
        return mismatch < 0 ? a.length : mismatch;
    }
}
