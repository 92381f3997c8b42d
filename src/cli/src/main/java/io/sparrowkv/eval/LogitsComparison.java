package io.sparrowkv.eval;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import java.util.Arrays;

/**
 * Compares two models' logits over the same positions, chunk by chunk, in memory that grows by one float a position: negative log
 * likelihood of each, Kullback–Leibler divergence of the candidate from the reference, agreement of the likeliest token.
 */
public final class LogitsComparison {
    private float[] divergences = new float[1024];
    private int positions;
    private int agreements;
    private int predicted;
    private double referenceNll;
    private double candidateNll;

    /**
     * Takes in one chunk.
     *
     * @param reference logits {@code [tokens, vocabulary]}
     * @param candidate logits {@code [tokens, vocabulary]} at the same positions
     * @param targets the token that follows each position, {@code [tokens]} or one less when nothing follows the last
     */
    public void add(NDArray reference, NDArray candidate, int[] targets) {
        try (NDManager scope = reference.getManager().newSubManager()) {
            NDArray p = own(scope, reference).logSoftmax(-1);
            NDArray q = own(scope, candidate).logSoftmax(-1);
            float[] divergence = p.exp().mul(p.sub(q)).sum(new int[] {-1}).toFloatArray();
            long[] expected = p.argMax(-1).toLongArray();
            long[] found = q.argMax(-1).toLongArray();
            for (int i = 0; i < divergence.length; i++) {
                keep(Math.max(0f, divergence[i])); // rounding can leave −1e-9 where both agree
                agreements += expected[i] == found[i] ? 1 : 0;
            }
            if (targets.length > 0) {
                NDArray index =
                        scope.create(targets).toType(DataType.INT64, false).reshape(targets.length, 1);
                String rows = "0:" + targets.length;
                referenceNll -= sum(p.get(rows).gather(index, 1));
                candidateNll -= sum(q.get(rows).gather(index, 1));
                predicted += targets.length;
            }
        }
    }

    public Summary summary() {
        float[] sorted = Arrays.copyOf(divergences, positions);
        Arrays.sort(sorted);
        double mean = 0;
        for (float divergence : sorted) {
            mean += divergence;
        }
        int last = Math.max(0, positions - 1);
        return new Summary(
                predicted,
                referenceNll / predicted,
                candidateNll / predicted,
                mean / positions,
                positions == 0 ? Double.NaN : sorted[Math.min(last, (int) Math.ceil(0.99 * positions) - 1)],
                (double) agreements / positions);
    }

    /**
     * The comparison over all positions taken in.
     *
     * @param predicted tokens whose likelihood was counted
     * @param referenceNll nats per predicted token
     * @param candidateNll nats per predicted token
     * @param meanKl mean of KL(reference ‖ candidate), nats
     * @param p99Kl its 99th percentile, nats
     * @param top1Agreement share of positions where both have the same likeliest token
     */
    public record Summary(
            int predicted,
            double referenceNll,
            double candidateNll,
            double meanKl,
            double p99Kl,
            double top1Agreement) {
        public double referencePerplexity() {
            return Math.exp(referenceNll);
        }

        public double candidatePerplexity() {
            return Math.exp(candidateNll);
        }

        /** Relative rise of perplexity, 0.01 for one per cent. */
        public double perplexityRise() {
            return Math.exp(candidateNll - referenceNll) - 1;
        }
    }

    private static NDArray own(NDManager scope, NDArray array) {
        NDArray view = array.duplicate();
        view.attach(scope);
        return view;
    }

    private static double sum(NDArray column) {
        double sum = 0;
        for (float value : column.toFloatArray()) {
            sum += value;
        }
        return sum;
    }

    private void keep(float divergence) {
        if (positions == divergences.length) {
            divergences = Arrays.copyOf(divergences, 2 * positions);
        }
        divergences[positions++] = divergence;
    }
}
