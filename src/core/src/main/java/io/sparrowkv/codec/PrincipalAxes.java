package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.MemorySegment;
import org.hipparchus.linear.EigenDecompositionSymmetric;
import org.hipparchus.linear.MatrixUtils;

/**
 * Mean and principal axes of a site's vectors: the orthonormal basis in which their coordinates do not correlate.
 *
 * @param mean {@code [dHead]}
 * @param axes {@code [dHead, dHead]}, a unit vector a row, the largest variance first
 * @param variances of the coordinates, {@code [dHead]}
 */
public record PrincipalAxes(float[] mean, float[] axes, float[] variances) {
    /** Adds up vectors until their axes are asked for. */
    public static final class Fit {
        private final int dHead;
        private final double[] sum;
        private final double[] products;
        private long count;

        public Fit(int dHead) {
            this.dHead = dHead;
            this.sum = new double[dHead];
            this.products = new double[dHead * dHead];
        }

        /** @param vectors fp32 {@code [rows, dHead]} */
        public void add(MemorySegment vectors, int rows) {
            float[] x = new float[dHead];
            for (int row = 0; row < rows; row++) {
                MemorySegment.copy(vectors, JAVA_FLOAT, (long) row * dHead * Float.BYTES, x, 0, dHead);
                for (int i = 0; i < dHead; i++) {
                    sum[i] += x[i];
                    for (int j = 0; j <= i; j++) {
                        products[i * dHead + j] += (double) x[i] * x[j];
                    }
                }
            }
            count += rows;
        }

        /**
         * The axes of what was added.
         *
         * @throws IllegalStateException when nothing was
         */
        public PrincipalAxes axes() {
            if (count == 0) {
                throw new IllegalStateException("no vectors");
            }
            float[] mean = new float[dHead];
            double[][] covariance = new double[dHead][dHead];
            for (int i = 0; i < dHead; i++) {
                mean[i] = (float) (sum[i] / count);
                for (int j = 0; j <= i; j++) {
                    double value = products[i * dHead + j] / count - sum[i] / count * (sum[j] / count);
                    covariance[i][j] = value;
                    covariance[j][i] = value;
                }
            }
            var eigen = new EigenDecompositionSymmetric(MatrixUtils.createRealMatrix(covariance));
            float[] axes = new float[dHead * dHead];
            float[] variances = new float[dHead];
            for (int axis = 0; axis < dHead; axis++) {
                variances[axis] = (float) Math.max(0, eigen.getEigenvalue(axis));
                double[] vector = eigen.getEigenvector(axis).toArray();
                for (int i = 0; i < dHead; i++) {
                    axes[axis * dHead + i] = (float) vector[i];
                }
            }
            return new PrincipalAxes(mean, axes, variances);
        }
    }

    /** Width of the vectors. */
    public int dHead() {
        return mean.length;
    }

    /** Coordinates of a vector. */
    void project(float[] vector, int from, float[] coordinates) {
        int dHead = dHead();
        for (int axis = 0; axis < dHead; axis++) {
            float sum = 0;
            for (int i = 0; i < dHead; i++) {
                sum += axes[axis * dHead + i] * (vector[from + i] - mean[i]);
            }
            coordinates[axis] = sum;
        }
    }

    /** A vector of its coordinates. */
    void restore(float[] coordinates, float[] vector, int to) {
        int dHead = dHead();
        System.arraycopy(mean, 0, vector, to, dHead);
        for (int axis = 0; axis < dHead; axis++) {
            float coordinate = coordinates[axis];
            if (coordinate != 0) {
                for (int i = 0; i < dHead; i++) {
                    vector[to + i] += coordinate * axes[axis * dHead + i];
                }
            }
        }
    }
}
