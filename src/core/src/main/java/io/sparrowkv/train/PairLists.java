package io.sparrowkv.train;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.CodeBatch;
import java.util.Arrays;

/**
 * The pairs of a batch by atom, each atom's in the order of rows: so that one worker can own an atom and add up its gradient in a
 * fixed order, without atomics. A counting sort, whose counting and placing go by parts of the rows.
 */
final class PairLists {
    /** Parts of a batch: enough for any team of workers, few enough that the sums over them cost nothing. */
    private static final int PARTS = 16;

    private final int[] starts;
    private final int[][] cursors;
    private final int[] rows;
    private final int[] gradients;
    private final float[] coefficients;
    private final float[] coefficientGradients;

    PairLists(int atoms, int rows, int budget) {
        this.starts = new int[atoms + 1];
        this.cursors = new int[PARTS][atoms];
        int pairs = Math.multiplyExact(rows, budget);
        this.rows = new int[pairs];
        this.gradients = new int[pairs];
        this.coefficients = new float[pairs];
        this.coefficientGradients = new float[pairs];
    }

    /** What the encoder learns from a pair. */
    @FunctionalInterface
    interface EncoderGradient {
        /**
         * Gives the gradient in the pair's coefficient.
         *
         * @param own the error's, ∂L/∂z
         */
        float of(int row, int pair, float own);
    }

    /** Sorts the pairs of {@code codes}. */
    void build(CodeBatch codes, RowGradients rowGradients, EncoderGradient encoderGradient, Workers workers) {
        workers.forEach(PARTS, (part, worker) -> count(codes, part));
        int start = 0;
        for (int atom = 0; atom < starts.length - 1; atom++) {
            starts[atom] = start;
            for (int[] cursor : cursors) {
                int count = cursor[atom];
                cursor[atom] = start;
                start += count;
            }
        }
        starts[starts.length - 1] = start;
        workers.forEach(PARTS, (part, worker) -> place(codes, rowGradients, encoderGradient, part));
    }

    private void count(CodeBatch codes, int part) {
        int[] counts = cursors[part];
        Arrays.fill(counts, 0);
        int end = firstRow(codes, part + 1);
        for (int row = firstRow(codes, part); row < end; row++) {
            int count = codes.count(row);
            for (int pair = 0; pair < count; pair++) {
                counts[codes.index(row, pair)]++;
            }
        }
    }

    private void place(CodeBatch codes, RowGradients rowGradients, EncoderGradient encoderGradient, int part) {
        int[] cursor = cursors[part];
        int end = firstRow(codes, part + 1);
        for (int row = firstRow(codes, part); row < end; row++) {
            int count = codes.count(row);
            for (int pair = 0; pair < count; pair++) {
                int at = cursor[codes.index(row, pair)]++;
                rows[at] = row;
                gradients[at] = row * rowGradients.groups() + rowGradients.groupOf(pair);
                coefficients[at] = codes.coefficient(row, pair);
                float own = rowGradients.coefficientGradient(row * codes.budget() + pair);
                coefficientGradients[at] = encoderGradient.of(row, pair, own);
            }
        }
    }

    private static int firstRow(CodeBatch codes, int part) {
        return (int) ((long) codes.rows() * part / PARTS);
    }

    /** Whether a code has the atom: one that was only looked at has coefficient 0. */
    boolean fires(int atom) {
        for (int entry = starts[atom]; entry < starts[atom + 1]; entry++) {
            if (coefficients[entry] != 0) {
                return true;
            }
        }
        return false;
    }

    /** First entry of an atom's list. */
    int start(int atom) {
        return starts[atom];
    }

    /** End, exclusive, of an atom's list. */
    int end(int atom) {
        return starts[atom + 1];
    }

    /** Whether an atom has pairs. */
    boolean has(int atom) {
        return starts[atom] < starts[atom + 1];
    }

    /** Of each entry the row of the batch. */
    int[] rows() {
        return rows;
    }

    /** Of each entry which of {@link RowGradients#gradients} the pair feels. */
    int[] gradients() {
        return gradients;
    }

    /** Of each entry the pair's coefficient. */
    float[] coefficients() {
        return coefficients;
    }

    /** Of each entry what the encoder learns from it, ∂L/∂z. */
    float[] coefficientGradients() {
        return coefficientGradients;
    }

    /** ∂L/∂b_enc of an atom: the sum of ∂L/∂z over its list. */
    float biasGradient(int atom) {
        float sum = 0;
        for (int entry = starts[atom]; entry < starts[atom + 1]; entry++) {
            sum += coefficientGradients[entry];
        }
        return sum;
    }
}
