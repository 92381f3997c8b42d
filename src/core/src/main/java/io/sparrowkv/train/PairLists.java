package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.encode.CodeBatch;
import java.util.Arrays;

/**
 * The pairs of a batch by atom, each atom's in the order of rows: so that one worker can own an atom and add up its gradient in a
 * fixed order, without atomics.
 */
final class PairLists {
    private final int[] starts;
    private final int[] cursors;
    private final int[] rows;
    private final int[] gradients;
    private final float[] coefficients;
    private final float[] coefficientGradients;

    PairLists(int atoms, int rows, int budget) {
        this.starts = new int[atoms + 1];
        this.cursors = new int[atoms];
        int pairs = Math.multiplyExact(rows, budget);
        this.rows = new int[pairs];
        this.gradients = new int[pairs];
        this.coefficients = new float[pairs];
        this.coefficientGradients = new float[pairs];
    }

    /** Sorts the pairs of {@code codes}, a counting sort. */
    void build(CodeBatch codes, RowGradients rowGradients) {
        Arrays.fill(starts, 0);
        for (int row = 0; row < codes.rows(); row++) {
            int count = codes.count(row);
            for (int pair = 0; pair < count; pair++) {
                starts[codes.index(row, pair) + 1]++;
            }
        }
        for (int atom = 0; atom < cursors.length; atom++) {
            cursors[atom] = starts[atom];
            starts[atom + 1] += starts[atom];
        }
        for (int row = 0; row < codes.rows(); row++) {
            int count = codes.count(row);
            long firstPair = (long) row * codes.budget();
            for (int pair = 0; pair < count; pair++) {
                int at = cursors[codes.index(row, pair)]++;
                rows[at] = row;
                gradients[at] = row * rowGradients.groups() + rowGradients.groupOf(pair);
                coefficients[at] = codes.coefficient(row, pair);
                coefficientGradients[at] = rowGradients.coefficientGradients().getAtIndex(JAVA_FLOAT, firstPair + pair);
            }
        }
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

    /** Of each entry the row of the batch. */
    int[] rows() {
        return rows;
    }

    /** Of each entry which row of {@link RowGradients#gradients}, seen as {@code [rows * groups, dHead]}, the pair feels. */
    int[] gradients() {
        return gradients;
    }

    /** Of each entry the pair's coefficient. */
    float[] coefficients() {
        return coefficients;
    }

    /** Of each entry ∂L/∂z. */
    float[] coefficientGradients() {
        return coefficientGradients;
    }
}
