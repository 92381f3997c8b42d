package io.sparrowkv.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class LogitsComparisonTest {
    private static final int VOCABULARY = 17;

    @Test
    void agreesWithTheDefinitionsInDoublePrecisionOverUnevenChunks() {
        Random random = new Random(7);
        int tokens = 131;
        float[][] reference = logits(random, tokens);
        float[][] candidate = logits(random, tokens);
        int[] targets = random.ints(tokens - 1, 0, VOCABULARY).toArray();
        LogitsComparison comparison = new LogitsComparison();
        try (NDManager manager = NDManager.newBaseManager("PyTorch")) {
            for (int from = 0; from < tokens; from += 50) {
                int to = Math.min(tokens, from + 50);
                comparison.add(
                        manager.create(flat(reference, from, to), new Shape(to - from, VOCABULARY)),
                        manager.create(flat(candidate, from, to), new Shape(to - from, VOCABULARY)),
                        Arrays.copyOfRange(targets, from, Math.min(to, targets.length)));
            }
        }

        double[] divergence = new double[tokens];
        double referenceNll = 0;
        double candidateNll = 0;
        int agreements = 0;
        for (int t = 0; t < tokens; t++) {
            double[] p = logSoftmax(reference[t]);
            double[] q = logSoftmax(candidate[t]);
            for (int v = 0; v < VOCABULARY; v++) {
                divergence[t] += Math.exp(p[v]) * (p[v] - q[v]);
            }
            agreements += largest(p) == largest(q) ? 1 : 0;
            if (t < targets.length) {
                referenceNll -= p[targets[t]];
                candidateNll -= q[targets[t]];
            }
        }
        Arrays.sort(divergence);
        LogitsComparison.Summary summary = comparison.summary();
        assertThat(summary.predicted()).isEqualTo(tokens - 1);
        assertThat(summary.referenceNll()).isCloseTo(referenceNll / (tokens - 1), within(1e-5));
        assertThat(summary.candidateNll()).isCloseTo(candidateNll / (tokens - 1), within(1e-5));
        assertThat(summary.meanKl())
                .isCloseTo(Arrays.stream(divergence).average().orElseThrow(), within(1e-5));
        assertThat(summary.p99Kl()).isCloseTo(divergence[129], within(1e-5));
        assertThat(summary.top1Agreement()).isEqualTo((double) agreements / tokens);
    }

    @Test
    void aModelComparedWithItselfDoesNotDiverge() {
        LogitsComparison comparison = new LogitsComparison();
        try (NDManager manager = NDManager.newBaseManager("PyTorch")) {
            var logits = manager.create(flat(logits(new Random(3), 9), 0, 9), new Shape(9, VOCABULARY));
            comparison.add(logits, logits, new int[8]);
        }
        assertThat(comparison.summary().meanKl()).isZero();
        assertThat(comparison.summary().top1Agreement()).isEqualTo(1);
        assertThat(comparison.summary().perplexityRise()).isZero();
    }

    private static float[][] logits(Random random, int tokens) {
        float[][] logits = new float[tokens][VOCABULARY];
        for (float[] row : logits) {
            for (int v = 0; v < VOCABULARY; v++) {
                row[v] = (float) (3 * random.nextGaussian());
            }
        }
        return logits;
    }

    private static float[] flat(float[][] rows, int from, int to) {
        float[] flat = new float[(to - from) * VOCABULARY];
        for (int t = from; t < to; t++) {
            System.arraycopy(rows[t], 0, flat, (t - from) * VOCABULARY, VOCABULARY);
        }
        return flat;
    }

    private static double[] logSoftmax(float[] logits) {
        double sum = 0;
        for (float logit : logits) {
            sum += Math.exp(logit);
        }
        double normaliser = Math.log(sum);
        double[] result = new double[logits.length];
        for (int v = 0; v < logits.length; v++) {
            result[v] = logits[v] - normaliser;
        }
        return result;
    }

    private static int largest(double[] values) {
        int best = 0;
        for (int i = 1; i < values.length; i++) {
            best = values[i] > values[best] ? i : best;
        }
        return best;
    }
}
