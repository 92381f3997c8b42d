package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.RefinedBackend;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;

/** Measures a dictionary on given vectors. */
public final class SiteEvaluation {
    private static final int[] BUDGETS = {1, 2, 4, 8, 16, 32, 64, 128};
    private static final int BATCH = 1024;
    private static final int ROW_TASK = 32;
    private static final double BIN = 0.25;
    private static final double LOWEST = -5;

    private final Dictionary dictionary;
    private final int[] budgets;
    private final double[][] errors;
    private final double[][] cosines;
    private final int[] fired;
    private long pairs;

    private SiteEvaluation(Dictionary dictionary) {
        this.dictionary = dictionary;
        this.budgets = IntStream.of(BUDGETS)
                .filter(budget -> budget <= dictionary.latents())
                .toArray();
        int tasks = (BATCH + ROW_TASK - 1) / ROW_TASK;
        this.errors = new double[tasks][budgets.length];
        this.cosines = new double[tasks][budgets.length];
        this.fired = new int[dictionary.latents()];
    }

    /**
     * @param vectors {@code [rows, dHead]}
     * @param firingBudget budget at which firing is counted
     * @param refinement of the codes; refined codes are made anew at each budget, of others prefixes are read
     */
    public static SiteReport evaluate(
            Dictionary dictionary,
            MemorySegment vectors,
            int rows,
            int firingBudget,
            Refinement refinement,
            EncoderBackend backend,
            Workers workers) {
        SiteEvaluation evaluation = new SiteEvaluation(dictionary);
        if (refinement.kind() == Refinement.Kind.NONE) {
            int largest = evaluation.budgets[evaluation.budgets.length - 1];
            try (TopKEncoder encoder = backend.open(dictionary)) {
                evaluation.run(encoder, largest, 0, firingBudget, vectors, rows, workers);
            }
        } else {
            try (RefinedBackend refined = new RefinedBackend(backend, refinement, workers.threads());
                    TopKEncoder encoder = refined.open(dictionary)) {
                for (int b = 0; b < evaluation.budgets.length; b++) {
                    boolean last = b + 1 == evaluation.budgets.length || evaluation.budgets[b + 1] > firingBudget;
                    boolean counted = evaluation.budgets[b] <= firingBudget && last;
                    int budget = evaluation.budgets[b];
                    evaluation.run(encoder, budget, b, counted ? budget : 0, vectors, rows, workers);
                }
            }
        }
        double variance = Statistics.variance(vectors, rows, dictionary.dHead()) * rows;
        return evaluation.report(rows, variance);
    }

    /**
     * Encodes all vectors and compares.
     *
     * @param budget pairs of the codes
     * @param from the first budget that is compared, up to that of the codes
     * @param firingBudget budget at which firing is counted, 0 for not now
     */
    private void run(
            TopKEncoder encoder,
            int budget,
            int from,
            int firingBudget,
            MemorySegment vectors,
            int rows,
            Workers workers) {
        long rowBytes = (long) dictionary.dHead() * Float.BYTES;
        try (CodeBatch codes = CodeBatch.allocate(BATCH, budget)) {
            for (int first = 0; first < rows; first += BATCH) {
                int count = Math.min(BATCH, rows - first);
                MemorySegment batch = vectors.asSlice(first * rowBytes, count * rowBytes);
                encoder.encode(batch, count, budget, codes);
                workers.forEach(
                        (count + ROW_TASK - 1) / ROW_TASK, (task, worker) -> add(task, count, batch, codes, from));
                countFiring(codes, firingBudget);
            }
        }
    }

    /** Decodes the rows of a task, pair after pair, and takes the error at each budget from {@code from} on, on the way. */
    private void add(int task, int rows, MemorySegment vectors, CodeBatch codes, int from) {
        int dHead = dictionary.dHead();
        float[] decoded = new float[dHead];
        int end = Math.min(rows, (task + 1) * ROW_TASK);
        for (int row = task * ROW_TASK; row < end; row++) {
            for (int i = 0; i < dHead; i++) {
                decoded[i] = dictionary.decoderBias().getAtIndex(JAVA_FLOAT, i);
            }
            int pair = 0;
            for (int b = from; b < budgets.length && budgets[b] <= codes.budget(); b++) {
                int until = Math.min(codes.count(row), budgets[b]);
                for (; pair < until; pair++) {
                    float coefficient = codes.coefficient(row, pair);
                    long atom = (long) codes.index(row, pair) * dHead;
                    for (int i = 0; i < dHead; i++) {
                        decoded[i] += coefficient * dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, atom + i);
                    }
                }
                compare(task, b, (long) row * dHead, vectors, decoded);
            }
        }
    }

    private void compare(int task, int budget, long first, MemorySegment vectors, float[] decoded) {
        double error = 0;
        double product = 0;
        double square = 0;
        double decodedSquare = 0;
        for (int i = 0; i < decoded.length; i++) {
            double x = vectors.getAtIndex(JAVA_FLOAT, first + i);
            double y = decoded[i];
            error += (x - y) * (x - y);
            product += x * y;
            square += x * x;
            decodedSquare += y * y;
        }
        errors[task][budget] += error;
        cosines[task][budget] += square > 0 && decodedSquare > 0 ? product / Math.sqrt(square * decodedSquare) : 0;
    }

    private void countFiring(CodeBatch codes, int budget) {
        for (int row = 0; row < codes.rows(); row++) {
            int count = Math.min(codes.count(row), budget);
            pairs += count;
            for (int pair = 0; pair < count; pair++) {
                fired[codes.index(row, pair)]++;
            }
        }
    }

    private SiteReport report(int rows, double variance) {
        List<SiteReport.Fidelity> fidelity = new ArrayList<>();
        for (int b = 0; b < budgets.length; b++) {
            double error = 0;
            double cosine = 0;
            for (int task = 0; task < errors.length; task++) {
                error += errors[task][b];
                cosine += cosines[task][b];
            }
            fidelity.add(new SiteReport.Fidelity(budgets[b], error / variance, cosine / rows));
        }
        SiteReport.Density density = density(rows);
        return new SiteReport(
                dictionary.site().label(),
                dictionary.rope().label(),
                dictionary.dHead(),
                dictionary.latents(),
                rows,
                fidelity,
                (double) pairs / rows,
                (double) density.silent() / dictionary.latents(),
                density);
    }

    private SiteReport.Density density(int rows) {
        int bins = (int) Math.round(-LOWEST / BIN);
        List<Integer> latents = new ArrayList<>(Collections.nCopies(bins, 0));
        int silent = 0;
        for (int count : fired) {
            if (count == 0) {
                silent++;
            } else {
                double log = Math.log10((double) count / rows);
                int bin = Math.clamp((int) Math.floor((log - LOWEST) / BIN), 0, bins - 1);
                latents.set(bin, latents.get(bin) + 1);
            }
        }
        List<Double> edges =
                IntStream.range(0, bins).mapToObj(bin -> LOWEST + bin * BIN).toList();
        return new SiteReport.Density(edges, List.copyOf(latents), silent);
    }
}
