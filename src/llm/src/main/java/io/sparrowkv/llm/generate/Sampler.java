package io.sparrowkv.llm.generate;

import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** Draws tokens from logits. */
final class Sampler {
    private final Sampling sampling;
    private final SplittableRandom random;

    Sampler(Sampling sampling) {
        this.sampling = sampling;
        this.random = new SplittableRandom(sampling.seed());
    }

    /** @param logits {@code [vocabulary]} */
    int next(float[] logits) {
        int likeliest = likeliest(logits);
        return sampling.greedy() || sampling.topK() == 1 ? likeliest : draw(logits, logits[likeliest]);
    }

    /** The likeliest token, the lowest id among equals. */
    private static int likeliest(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }

    private int draw(float[] logits, float largest) {
        double[] weights = new double[logits.length];
        double sum = 0;
        for (int i = 0; i < logits.length; i++) {
            weights[i] = Math.exp((logits[i] - largest) / sampling.temperature());
            sum += weights[i];
        }
        if (sampling.topK() == 0 && sampling.topP() == 1) {
            return pick(weights, IntStream.range(0, logits.length).toArray(), logits.length, sum);
        }
        int[] order = IntStream.range(0, logits.length)
                .boxed()
                .sorted((a, b) -> Double.compare(weights[b], weights[a])) // stable: the lower id first among equals
                .mapToInt(Integer::intValue)
                .toArray();
        int considered = sampling.topK() == 0 ? order.length : Math.min(order.length, sampling.topK());
        double total = 0;
        for (int i = 0; i < considered; i++) {
            total += weights[order[i]];
        }
        double reached = 0;
        int kept = 0;
        while (kept < considered && reached < sampling.topP() * total) {
            reached += weights[order[kept++]];
        }
        return pick(weights, order, kept, reached);
    }

    private int pick(double[] weights, int[] order, int count, double total) {
        double point = random.nextDouble() * total;
        for (int i = 0; i < count; i++) {
            point -= weights[order[i]];
            if (point < 0) {
                return order[i];
            }
        }
        return order[count - 1]; // rounding can leave a point at the very end
    }
}
