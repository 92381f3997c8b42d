package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Random;

/**
 * The weights before the first step: b_dec at the vectors' geometric median, atoms as {@link Initialisation} says, and the encoder the
 * atoms' transpose, times the one factor that makes the sums of its coefficients fit best over all budgets.
 */
final class FirstWeights {
    /**
     * Noise on an atom from data, against its length: many vectors of a model's first layers are equal (one for each token), and of
     * two equal atoms the second would never be chosen.
     */
    private static final double NOISE = 0.05;

    /** Vectors of the median: more change it by less than training does in its first steps. */
    private static final int MEDIAN_ROWS = 4096;

    private final Dictionary dictionary;
    private final TrainerSettings settings;
    private final int dHead;

    FirstWeights(Dictionary dictionary, TrainerSettings settings) {
        this.dictionary = dictionary;
        this.settings = settings;
        this.dHead = dictionary.dHead();
    }

    /**
     * @param sample {@code [rows, dHead]}, in random order
     * @param encoder over the dictionary
     * @param codes room for a batch
     */
    void write(MemorySegment sample, int rows, TopKEncoder encoder, CodeBatch codes) {
        double[] centre = GeometricMedian.of(sample, Math.min(rows, MEDIAN_ROWS), dHead);
        for (int i = 0; i < dHead; i++) {
            dictionary.decoderBias().setAtIndex(JAVA_FLOAT, i, (float) centre[i]);
        }
        dictionary.encoderBias().fill((byte) 0);
        writeAtoms(sample, rows, centre);
        dictionary.encoderWeights().copyFrom(dictionary.decoderWeights());
        encoder.reload();
        int batch = Math.min(rows, settings.schedule().batch());
        encoder.encode(sample, batch, settings.loss().largestBudget(), codes);
        float factor = (float) bestFactor(sample, batch, codes);
        Lanes.scale(
                dictionary.encoderWeights(),
                0,
                factor,
                dictionary.encoderWeights(),
                0,
                (long) dictionary.latents() * dHead);
        encoder.reload();
    }

    private void writeAtoms(MemorySegment sample, int rows, double[] centre) {
        Random random = new Random(settings.seed());
        MemorySegment atoms = dictionary.decoderWeights();
        for (int latent = 0; latent < dictionary.latents(); latent++) {
            long atom = (long) latent * dHead;
            for (int i = 0; i < dHead; i++) {
                atoms.setAtIndex(JAVA_FLOAT, atom + i, (float) random.nextGaussian());
            }
            if (settings.initialisation() == Initialisation.DATA) {
                long vector = (long) (latent % rows) * dHead;
                double length = 0;
                for (int i = 0; i < dHead; i++) {
                    double x = sample.getAtIndex(JAVA_FLOAT, vector + i) - centre[i];
                    length += x * x;
                }
                double noise = NOISE * Math.sqrt(length / dHead);
                for (int i = 0; i < dHead; i++) {
                    double x = sample.getAtIndex(JAVA_FLOAT, vector + i) - centre[i];
                    double gaussian = atoms.getAtIndex(JAVA_FLOAT, atom + i);
                    atoms.setAtIndex(JAVA_FLOAT, atom + i, (float) (x + noise * gaussian));
                }
            }
            Lanes.normalise(atoms, atom, dHead);
        }
    }

    /** The a that makes Σ_k w_k |x − b_dec − a y_k|² least, y_k the sum over the first k pairs. */
    private double bestFactor(MemorySegment sample, int rows, CodeBatch codes) {
        double product = 0;
        double square = 0;
        float[] sum = new float[dHead];
        for (int row = 0; row < rows; row++) {
            Arrays.fill(sum, 0);
            int pair = 0;
            for (int g = 0; g < settings.loss().budgets().size(); g++) {
                int end = Math.min(codes.count(row), settings.loss().budgets().get(g));
                for (; pair < end; pair++) {
                    long atom = (long) codes.index(row, pair) * dHead;
                    for (int i = 0; i < dHead; i++) {
                        sum[i] += codes.coefficient(row, pair)
                                * dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, atom + i);
                    }
                }
                double weight = settings.loss().weights().get(g);
                for (int i = 0; i < dHead; i++) {
                    double x = sample.getAtIndex(JAVA_FLOAT, (long) row * dHead + i)
                            - dictionary.decoderBias().getAtIndex(JAVA_FLOAT, i);
                    product += weight * x * sum[i];
                    square += weight * sum[i] * sum[i];
                }
            }
        }
        return square > 0 ? product / square : 1;
    }
}
