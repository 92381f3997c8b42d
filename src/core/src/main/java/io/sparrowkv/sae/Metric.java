package io.sparrowkv.sae;

import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.hipparchus.linear.EigenDecompositionSymmetric;
import org.hipparchus.linear.MatrixUtils;
import org.hipparchus.linear.RealMatrix;

/**
 * How the errors of one site's codes are weighed: the weight of an error e is |R e|², R symmetric and positive definite. A model does
 * not feel all directions of its keys and values alike; codes that are chosen and atoms that are trained by this weight spend their
 * pairs where it does. Only encoding and training know of it: codes are read as any others.
 *
 * <p>Its scale is of no meaning, and such that the squares of R's eigenvalues have the mean 1. Safe for use by several threads.
 */
public final class Metric {
    /** Eigenvalues of the weight are raised to this part of their mean at least, so that no direction is given up. */
    private static final double LEAST_WEIGHT = 1e-3;

    private final int dHead;
    private final float[] root;
    private final float[] inverse;

    private Metric(int dHead, float[] root, float[] inverse) {
        this.dHead = dHead;
        this.root = root;
        this.inverse = inverse;
    }

    /**
     * The metric of a root as it was stored.
     *
     * @param root R, row-major {@code [dHead, dHead]}
     * @throws IllegalArgumentException when it is not symmetric and positive definite
     */
    public static Metric ofRoot(int dHead, float[] root) {
        RealMatrix matrix = symmetric(dHead, i -> root[i]);
        var eigen = new EigenDecompositionSymmetric(matrix);
        double[] inverse = eigen.getEigenvalues();
        for (int i = 0; i < dHead; i++) {
            if (!(inverse[i] > 0)) {
                throw new IllegalArgumentException("an eigenvalue is " + inverse[i] + ", not positive");
            }
            inverse[i] = 1 / inverse[i];
        }
        return new Metric(dHead, root.clone(), floats(compose(eigen, inverse)));
    }

    /**
     * The metric of second moments, S = mean of g gᵀ, where g is what an error of 1 costs to first order. With a power of 1 the weight of
     * an error is eᵀ S e, with 0 it is |e|²; between them the spectrum is compressed, since moments of few directions and of a mean over
     * all tokens exaggerate.
     *
     * @param moments S, row-major {@code [dHead, dHead]}
     * @param power from 0 to 1
     * @throws IllegalArgumentException when the moments are not finite, or all zero
     */
    public static Metric ofMoments(int dHead, double[] moments, double power) {
        if (!(power >= 0 && power <= 1)) {
            throw new IllegalArgumentException("power " + power + " is not from 0 to 1");
        }
        var eigen = new EigenDecompositionSymmetric(symmetric(dHead, i -> moments[i]));
        double[] weights = eigen.getEigenvalues();
        double mean = Arrays.stream(weights).average().orElseThrow();
        if (!(mean > 0) || !Double.isFinite(mean)) {
            throw new IllegalArgumentException("the moments' mean eigenvalue is " + mean);
        }
        double sum = 0;
        for (int i = 0; i < dHead; i++) {
            weights[i] = Math.pow(Math.max(weights[i] / mean, LEAST_WEIGHT), power);
            sum += weights[i];
        }
        for (int i = 0; i < dHead; i++) {
            weights[i] = Math.sqrt(weights[i] * dHead / sum);
        }
        // By way of the root that will be stored, so that the inverse is the same bits then.
        return ofRoot(dHead, floats(compose(eigen, weights)));
    }

    /**
     * The metric of a root as {@link #tensor} gives it.
     *
     * @param root F32 {@code [dHead, dHead]}
     * @throws IllegalArgumentException when it is something else, or not symmetric and positive definite
     */
    public static Metric of(Tensor root) {
        long[] shape = root.shape();
        if (root.dtype() != DType.F32 || shape.length != 2 || shape[0] != shape[1]) {
            throw new IllegalArgumentException("it is %s of shape %s".formatted(root.dtype(), Arrays.toString(shape)));
        }
        return ofRoot((int) shape[0], root.data().toArray(ValueLayout.JAVA_FLOAT_UNALIGNED));
    }

    /** R as a tensor, F32 {@code [dHead, dHead]}. */
    public Tensor tensor(String name) {
        return new Tensor(name, DType.F32, new long[] {dHead, dHead}, MemorySegment.ofArray(root));
    }

    /** Width of the vectors. */
    public int dHead() {
        return dHead;
    }

    /** R, row-major {@code [dHead, dHead]}; not to be changed. */
    public float[] root() {
        return root;
    }

    /** R⁻¹, row-major {@code [dHead, dHead]}; not to be changed. */
    public float[] inverse() {
        return inverse;
    }

    /**
     * Multiplies a vector with one of the two.
     *
     * @param matrix {@link #root} or {@link #inverse}
     * @param x {@code [dHead]}
     * @param y the product, {@code [dHead]}; not x itself
     */
    public static void multiply(float[] matrix, float[] x, float[] y) {
        // Row after row, which is column after column: no sums across lanes.
        Arrays.fill(y, 0);
        int dHead = x.length;
        for (int j = 0; j < dHead; j++) {
            addRow(matrix, j * dHead, x[j], y);
        }
    }

    private static void addRow(float[] matrix, int from, float factor, float[] y) {
        for (int i = 0; i < y.length; i++) {
            y[i] += factor * matrix[from + i];
        }
    }

    private interface Element {
        double at(int index);
    }

    private static RealMatrix symmetric(int dHead, Element element) {
        double[][] matrix = new double[dHead][dHead];
        double largest = 0;
        double asymmetry = 0;
        for (int i = 0; i < dHead; i++) {
            for (int j = 0; j < dHead; j++) {
                double value = element.at(i * dHead + j);
                if (!Double.isFinite(value)) {
                    throw new IllegalArgumentException("element %d, %d is %s".formatted(i, j, value));
                }
                double across = element.at(j * dHead + i);
                matrix[i][j] = (value + across) / 2;
                largest = Math.max(largest, Math.abs(value));
                asymmetry = Math.max(asymmetry, Math.abs(value - across));
            }
        }
        if (asymmetry > 1e-4 * largest) {
            throw new IllegalArgumentException("it is not symmetric");
        }
        return MatrixUtils.createRealMatrix(matrix);
    }

    /** V diag(values) Vᵀ. */
    private static RealMatrix compose(EigenDecompositionSymmetric eigen, double[] values) {
        RealMatrix vectors = eigen.getV();
        return vectors.multiply(MatrixUtils.createRealDiagonalMatrix(values)).multiply(eigen.getVT());
    }

    private static float[] floats(RealMatrix matrix) {
        int n = matrix.getRowDimension();
        float[] floats = new float[n * n];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < n; j++) {
                floats[i * n + j] = (float) (0.5 * (matrix.getEntry(i, j) + matrix.getEntry(j, i)));
            }
        }
        return floats;
    }
}
