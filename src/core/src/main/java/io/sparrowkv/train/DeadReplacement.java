package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import java.util.Arrays;
import java.util.Random;

/**
 * Gives latents that no pursuit chooses any more a new start: the atom becomes what the codes left of one of the batch's vectors, drawn
 * by its squared error (K-SVD replaces unused atoms by badly coded vectors: Aharon, Elad and Bruckstein, 2006; drawn rather than the
 * worst, which are often outliers, as first centres of k-means++ are). An auxiliary loss, which serves one-pass codes, does not bring
 * them back here: their atoms would move, but the encoder learns only from candidates, and they are none.
 */
final class DeadReplacement {
    /** Latents replaced in one step: few, since what they become knows nothing of each other. */
    private static final int MOST = 32;

    private final Dictionary dictionary;
    private final TrainerState state;
    private final long seed;
    private final float[] residual;

    DeadReplacement(Dictionary dictionary, TrainerState state, long seed) {
        this.dictionary = dictionary;
        this.state = state;
        this.seed = seed;
        this.residual = new float[SlicedRows.slices(dictionary.dHead()) * SlicedRows.WIDTH];
    }

    /**
     * Replaces some of the dead.
     *
     * @param dead latents
     * @param rows of the batch
     * @param gradients of the batch, whose last group are the residuals times a factor
     * @param factor that factor
     * @param atoms where the new atoms go too
     */
    void replace(int[] dead, int rows, RowGradients gradients, float factor, SlicedRows atoms) {
        if (dead.length == 0) {
            return;
        }
        int[] drawn = draw(Math.min(dead.length, MOST), rows, gradients, factor);
        for (int i = 0; i < drawn.length; i++) {
            double length = Math.sqrt(read(drawn[i], gradients, factor));
            write(dead[i], (float) length);
            atoms.put(dead[i], dictionary.decoderWeights(), (long) dead[i] * dictionary.dHead());
            state.restart(dead[i]);
        }
    }

    /** Draws rows without putting back, by their squared error: those with the largest log(u) / error (Efraimidis and Spirakis, 2006). */
    private int[] draw(int count, int rows, RowGradients gradients, float factor) {
        Random random = new Random(seed + 31L * state.steps());
        double[] keys = new double[rows];
        Integer[] order = new Integer[rows];
        for (int row = 0; row < rows; row++) {
            double error = read(row, gradients, factor);
            double u = random.nextDouble();
            keys[row] = error > 0 ? Math.log(u) / error : Double.NEGATIVE_INFINITY;
            order[row] = row;
        }
        Arrays.sort(order, (a, b) -> Double.compare(keys[b], keys[a]));
        return Arrays.stream(order)
                .limit(count)
                .filter(row -> keys[row] > Double.NEGATIVE_INFINITY)
                .mapToInt(Integer::intValue)
                .toArray();
    }

    /** Reads what the codes left of a row; returns its square. */
    private double read(int row, RowGradients gradients, float factor) {
        double square = 0;
        for (int slice = 0; slice < residual.length / SlicedRows.WIDTH; slice++) {
            long from = gradients.gradients().at(slice, (row + 1) * gradients.groups() - 1);
            for (int i = 0; i < SlicedRows.WIDTH; i++) {
                float x = gradients.gradients().floats().getAtIndex(JAVA_FLOAT, from + i) / factor;
                residual[slice * SlicedRows.WIDTH + i] = x;
                square += (double) x * x;
            }
        }
        return square;
    }

    /**
     * Makes atom and detector of what was read: the detector says the residual's length where it meets that very vector, whose product
     * with the atoms of its code the residual does not have. A detector that says less, or seldom, is no candidate often enough
     * (SaeTrainerTest's planted atoms: error 0.11 after it, 0.16 and 0.21 with detectors that fire from a half and three quarters of
     * that length on, 0.24 without replacement).
     */
    private void write(int latent, float length) {
        long row = (long) latent * dictionary.dHead();
        for (int i = 0; i < dictionary.dHead(); i++) {
            float x = residual[i] / length;
            dictionary.decoderWeights().setAtIndex(JAVA_FLOAT, row + i, x);
            dictionary.encoderWeights().setAtIndex(JAVA_FLOAT, row + i, x);
        }
        dictionary.encoderBias().setAtIndex(JAVA_FLOAT, latent, 0);
    }
}
