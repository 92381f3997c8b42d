package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.RefinedBackend;
import io.sparrowkv.encode.RefinedEncoder;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * The codes that will be kept: refined ones. Their coefficients are the least squares' own, so that the error has no gradient in them;
 * the atoms learn from the error as it is, as in dictionary learning by alternation (Olshausen and Field, 1996; Aharon, Elad and
 * Bruckstein, 2006, "K-SVD"). The encoder, whose part is to find the candidates, learns to foretell the codes: of each candidate the
 * coefficient that the pursuit gave it, or 0 (Kavukcuoglu, Ranzato and LeCun, 2010, "Predictive Sparse Decomposition", arXiv 1010.3467).
 * The budgets take turns, a step each, since a refined code's prefix is not the code at that budget.
 */
final class PursuitCodes implements StepCodes {
    private static final int ROW_TASK = 64;

    private final List<Integer> turns;
    private final int candidates;
    private final Workers workers;
    private final EncoderBackend plain;
    private final Dictionary dictionary;
    private final RefinedBackend backend;
    private final RefinedEncoder encoder;
    private final CodeBatch kept;
    private final CodeBatch pairs;
    /** What the encoder said of each pair. */
    private final float[] foretold;

    PursuitCodes(Dictionary dictionary, TrainerSettings settings, EncoderBackend plain, Workers workers) {
        this.turns = settings.loss().budgets();
        this.workers = workers;
        this.plain = plain;
        this.dictionary = dictionary;
        int largest = settings.loss().largestBudget();
        candidates = settings.refinement().candidatesFor(largest, dictionary.latents());
        backend = new RefinedBackend(plain, settings.refinement(), workers.threads());
        encoder = backend.open(dictionary);
        int rows = settings.schedule().batch();
        kept = CodeBatch.allocate(rows, largest);
        pairs = CodeBatch.allocate(rows, candidates);
        foretold = new float[Math.multiplyExact(rows, candidates)];
    }

    @Override
    public List<Integer> budgets() {
        return List.of(candidates);
    }

    @Override
    public List<Float> weights() {
        return List.of(1f);
    }

    @Override
    public void encode(MemorySegment vectors, int rows, int step) {
        encoder.encode(vectors, rows, turns.get(step % turns.size()), kept);
        pairs.shape(rows, candidates);
        workers.forEach(Math.ceilDiv(rows, ROW_TASK), (task, worker) -> {
            int end = Math.min(rows, (task + 1) * ROW_TASK);
            for (int row = task * ROW_TASK; row < end; row++) {
                merge(row, encoder.candidates());
            }
        });
    }

    /** Lists a row's candidates with the coefficients that the pursuit gave them, and what the encoder had said of them. */
    private void merge(int row, CodeBatch looked) {
        int count = looked.count(row);
        for (int pair = 0; pair < count; pair++) {
            int latent = looked.index(row, pair);
            put(row, pair, latent, coefficient(row, latent));
            foretold[row * candidates + pair] = looked.coefficient(row, pair);
        }
        pairs.counts().setAtIndex(JAVA_INT, row, count);
    }

    private float coefficient(int row, int latent) {
        int count = kept.count(row);
        for (int pair = 0; pair < count; pair++) {
            if (kept.index(row, pair) == latent) {
                return kept.coefficient(row, pair);
            }
        }
        return 0;
    }

    private void put(int row, int pair, int latent, float coefficient) {
        long at = (long) row * candidates + pair;
        pairs.indices().setAtIndex(JAVA_INT, at, latent);
        pairs.coefficients().setAtIndex(JAVA_FLOAT, at, coefficient);
    }

    @Override
    public CodeBatch pairs() {
        return pairs;
    }

    @Override
    public long kept() {
        return kept.pairs();
    }

    @Override
    public float encoderGradient(int row, int pair, float scale, float own) {
        // The encoder's output is never negative, and need not be: a candidate's sign is the pursuit's to choose.
        float wanted = Math.abs(pairs.coefficient(row, pair));
        return 2 * scale * (foretold[row * candidates + pair] - wanted);
    }

    @Override
    public void firstWeights(FirstWeights weights, MemorySegment sample, int rows) {
        // Scaled to the plain codes: a refined one fits its coefficients whatever the encoder's scale.
        try (TopKEncoder own = plain.open(dictionary)) {
            weights.write(sample, rows, own, kept);
        }
        encoder.reload();
    }

    @Override
    public void reload() {
        encoder.reload();
    }

    @Override
    public void close() {
        pairs.close();
        kept.close();
        encoder.close();
        backend.close();
    }
}
