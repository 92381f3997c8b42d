package io.sparrowkv.eval;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.DenseKvCache;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.Libtorch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Asks for planted facts through several caches, the dense one among them, which all read the same prompts.
 *
 * <p>Answers are forced: the right answer is fed, and each of its tokens counts as found when the model would have chosen it. That all
 * are found is the same as generating the answer greedily, and one pass answers all questions of a prompt.
 */
public final class PasskeyEvaluation {
    private final CausalLm model;
    private final List<CacheUnderTest> caches;
    private final int chunk;

    /** @param chunk tokens that pass through the model at once; the result does not depend on it */
    public PasskeyEvaluation(CausalLm model, List<CacheUnderTest> caches, int chunk) {
        this.model = model;
        this.caches = List.copyOf(caches);
        this.chunk = chunk;
    }

    /**
     * What one cache found.
     *
     * @param name of the cache
     * @param cases facts asked for
     * @param exact facts of which every token was found
     * @param exactOfDense facts found of those that the dense cache finds
     * @param digits tokens of the answers, digits where the vocabulary has single ones
     * @param digitsFound those that were found
     * @param byDepth facts found by the quarter of the context in which they stand, first quarter first
     * @param casesByDepth facts asked for by quarter
     */
    public record Score(
            String name,
            int cases,
            int exact,
            int exactOfDense,
            int digits,
            int digitsFound,
            List<Integer> byDepth,
            List<Integer> casesByDepth) {
        public double exactShare() {
            return (double) exact / cases;
        }

        public double digitShare() {
            return (double) digitsFound / digits;
        }
    }

    /**
     * Asks everything.
     *
     * @param progress told the number of prompts that are done
     * @return the dense cache's score first, then those of the caches in their order
     */
    public List<Score> run(List<PasskeyPrompts.Prompt> prompts, IntConsumer progress) {
        Tally[] tallies = new Tally[caches.size() + 1];
        Arrays.setAll(tallies, i -> new Tally());
        for (int i = 0; i < prompts.size(); i++) {
            ask(prompts.get(i), tallies);
            progress.accept(i + 1);
        }
        List<Score> scores = new ArrayList<>();
        scores.add(tallies[0].score("dense"));
        for (int i = 0; i < caches.size(); i++) {
            scores.add(tallies[i + 1].score(caches.get(i).name()));
        }
        return scores;
    }

    private void ask(PasskeyPrompts.Prompt prompt, Tally[] tallies) {
        boolean[] dense;
        try (KvCache cache = new DenseKvCache(model.config().attentionShape(), prompt.tokens())) {
            dense = ask(prompt, cache, tallies[0], null);
        }
        for (int i = 0; i < caches.size(); i++) {
            try (KvCache cache = caches.get(i).open().get()) {
                ask(prompt, cache, tallies[i + 1], dense);
            }
        }
    }

    /** Returns which questions were answered right. @param dense those that the dense cache answers, null for itself */
    private boolean[] ask(PasskeyPrompts.Prompt prompt, KvCache cache, Tally tally, boolean[] dense) {
        int[] context = prompt.context();
        for (int from = 0; from < context.length; from += chunk) {
            model.read(Arrays.copyOfRange(context, from, Math.min(context.length, from + chunk)), cache);
        }
        int[] asked = prompt.questions().stream()
                .flatMapToInt(question -> Arrays.stream(question.tokens()))
                .toArray();
        boolean[] right = new boolean[prompt.questions().size()];
        try (NDManager scope = Libtorch.newManager()) {
            NDArray logits = model.forward(scope, asked, cache, false);
            long[] chosen = logits.argMax(-1).toLongArray();
            int at = 0;
            for (int q = 0; q < right.length; q++) {
                PasskeyPrompts.Question question = prompt.questions().get(q);
                int found = 0;
                for (int t = question.answerFrom(); t < question.answerTo(); t++) {
                    found += chosen[at + t - 1] == question.tokens()[t] ? 1 : 0;
                }
                right[q] = found == question.answerTo() - question.answerFrom();
                tally.add(question, found, right[q], dense == null ? right[q] : dense[q]);
                at += question.tokens().length;
            }
        }
        return right;
    }

    private static final class Tally {
        private static final int QUARTERS = 4;

        private int cases;
        private int exact;
        private int exactOfDense;
        private int digits;
        private int digitsFound;
        private final Integer[] byDepth = new Integer[QUARTERS];
        private final Integer[] casesByDepth = new Integer[QUARTERS];

        Tally() {
            Arrays.fill(byDepth, 0);
            Arrays.fill(casesByDepth, 0);
        }

        void add(PasskeyPrompts.Question question, int found, boolean right, boolean denseRight) {
            int quarter = Math.min(QUARTERS - 1, (int) (question.depth() * QUARTERS));
            cases++;
            casesByDepth[quarter]++;
            digits += question.answerTo() - question.answerFrom();
            digitsFound += found;
            if (right) {
                exact++;
                byDepth[quarter]++;
                exactOfDense += denseRight ? 1 : 0;
            }
        }

        Score score(String name) {
            return new Score(
                    name, cases, exact, exactOfDense, digits, digitsFound, List.of(byDepth), List.of(casesByDepth));
        }
    }
}
