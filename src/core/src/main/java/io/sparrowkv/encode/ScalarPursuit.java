package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * The oracle of {@link Refinement}: the definition of a pursuit in fp64, written to be read. Each step tries every candidate that is
 * left, fits all coefficients by the normal equations, and keeps the candidate that leaves the least squared error, weighed by the
 * dictionary's metric if it has one.
 */
public final class ScalarPursuit {
    private final Dictionary dictionary;
    private final Coefficients form;
    private final Refinement refinement;

    public ScalarPursuit(Dictionary dictionary) {
        this(dictionary, Coefficients.FP16, Refinement.REFIT);
    }

    /**
     * @param form what the coefficients will be kept as
     * @param refinement where codes end; what they are chosen among is given with each
     */
    public ScalarPursuit(Dictionary dictionary, Coefficients form, Refinement refinement) {
        this.dictionary = dictionary;
        this.form = form;
        this.refinement = refinement;
    }

    /**
     * A refined code.
     *
     * @param atoms in the order of choice
     * @param coefficients of the atoms
     */
    public record Code(List<Integer> atoms, double[] coefficients) {}

    /**
     * Codes one vector.
     *
     * @param vectors fp32 {@code [rows, dHead]}
     * @param candidates latents to choose among, the better ones first: of equals the earlier one is taken
     * @param budget most pairs
     */
    public Code code(MemorySegment vectors, int row, List<Integer> candidates, int budget) {
        double[] x = centred(vectors, row);
        double least = Pursuit.LEAST_GAIN * dot(x, x);
        List<Integer> support = new ArrayList<>();
        double error = dot(x, x);
        while (support.size() < budget && !isEnough(Math.sqrt(error), Math.sqrt(dot(x, x)))) {
            int best = -1;
            double bestError = error - least;
            for (int candidate : candidates) {
                if (!support.contains(candidate) && isNew(candidate, support)) {
                    double left = error(x, with(support, candidate));
                    if (left < bestError) {
                        best = candidate;
                        bestError = left;
                    }
                }
            }
            if (best < 0) {
                break;
            }
            support.add(best);
            error = bestError;
        }
        double[] exact = fit(x, support);
        return new Code(support, form.scaled() && !support.isEmpty() ? rounded(x, support, exact) : exact);
    }

    private boolean isEnough(double left, double length) {
        return refinement.bounded() && left <= refinement.errorBound() * length;
    }

    /**
     * Rounds from the last atom to the first: with those rounded before taken off, all that are left are fitted again and the last of
     * them is rounded. The largest keeps its place, as the scale.
     */
    private double[] rounded(double[] x, List<Integer> support, double[] exact) {
        float[] rounded = new float[exact.length];
        for (int i = 0; i < exact.length; i++) {
            rounded[i] = (float) exact[i];
        }
        short scale = form.scale(rounded, rounded.length);
        int largest = form.largest(rounded, rounded.length, scale);
        double[] rest = x;
        double[] result = new double[exact.length];
        for (int i = exact.length - 1; i >= 0; i--) {
            double fitted = i == largest ? exact[i] : fit(rest, support.subList(0, i + 1))[i];
            float step = form.step(scale);
            int level = Coefficients.level((float) fitted, step, form.zero(scale), form.most(scale));
            result[i] = Coefficients.value(level, step, form.zero(scale));
            rest = residual(rest, support.subList(i, i + 1), new double[] {result[i]});
        }
        return result;
    }

    /** The squared error that a vector's least-squares fit on these atoms leaves. */
    public double error(MemorySegment vectors, int row, List<Integer> support) {
        return error(centred(vectors, row), support);
    }

    /** The squared length of a vector less the dictionary's centre. */
    public double square(MemorySegment vectors, int row) {
        double[] x = centred(vectors, row);
        return dot(x, x);
    }

    private double error(double[] x, List<Integer> support) {
        double[] rest = residual(x, support, fit(x, support));
        return dot(rest, rest);
    }

    private double[] residual(double[] x, List<Integer> support, double[] coefficients) {
        double[] rest = x.clone();
        for (int i = 0; i < support.size(); i++) {
            double[] atom = atom(support.get(i));
            for (int d = 0; d < rest.length; d++) {
                rest[d] -= coefficients[i] * atom[d];
            }
        }
        return rest;
    }

    /** Whether an atom is not, but for rounding, made of those in the support. */
    private boolean isNew(int candidate, List<Integer> support) {
        double[] atom = atom(candidate);
        double[] rest = residual(atom, support, fit(atom, support));
        return dot(rest, rest) > Pursuit.LEAST_NEW * dot(atom, atom);
    }

    /** Solves the normal equations G a = D x by Gaussian elimination; G is positive definite for atoms that are all new. */
    private double[] fit(double[] x, List<Integer> support) {
        int k = support.size();
        double[][] equations = new double[k][k + 1];
        for (int i = 0; i < k; i++) {
            for (int j = 0; j < k; j++) {
                equations[i][j] = dot(atom(support.get(i)), atom(support.get(j)));
            }
            equations[i][k] = dot(atom(support.get(i)), x);
        }
        for (int pivot = 0; pivot < k; pivot++) {
            for (int row = pivot + 1; row < k; row++) {
                double factor = equations[row][pivot] / equations[pivot][pivot];
                for (int column = pivot; column <= k; column++) {
                    equations[row][column] -= factor * equations[pivot][column];
                }
            }
        }
        double[] solution = new double[k];
        for (int row = k - 1; row >= 0; row--) {
            double sum = equations[row][k];
            for (int column = row + 1; column < k; column++) {
                sum -= equations[row][column] * solution[column];
            }
            solution[row] = sum / equations[row][row];
        }
        return solution;
    }

    private static List<Integer> with(List<Integer> support, int candidate) {
        List<Integer> extended = new ArrayList<>(support);
        extended.add(candidate);
        return extended;
    }

    private double[] centred(MemorySegment vectors, int row) {
        double[] x = new double[dictionary.dHead()];
        for (int d = 0; d < x.length; d++) {
            x[d] = (double) vectors.getAtIndex(JAVA_FLOAT, (long) row * x.length + d)
                    - dictionary.decoderBias().getAtIndex(JAVA_FLOAT, d);
        }
        return turned(x);
    }

    private double[] atom(int latent) {
        double[] atom = new double[dictionary.dHead()];
        for (int d = 0; d < atom.length; d++) {
            atom[d] = dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, (long) latent * atom.length + d);
        }
        return turned(atom);
    }

    /** Multiplies with the root of the dictionary's metric, if it has one. */
    private double[] turned(double[] x) {
        if (dictionary.metric().isEmpty()) {
            return x;
        }
        float[] root = dictionary.metric().get().root();
        double[] turned = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            for (int j = 0; j < x.length; j++) {
                turned[i] += root[i * x.length + j] * x[j];
            }
        }
        return turned;
    }

    private static double dot(double[] a, double[] b) {
        double sum = 0;
        for (int d = 0; d < a.length; d++) {
            sum += a[d] * b[d];
        }
        return sum;
    }
}
