package io.sparrowkv.llm.gradient;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.MemorySegment;

/** A running sum of g gᵀ in double precision. */
final class MomentSum {
    private final int width;
    private final double[] sum;
    private final double[] vector;
    private long vectors;

    MomentSum(int width) {
        this.width = width;
        this.sum = new double[width * width];
        this.vector = new double[width];
    }

    /** Adds the vector that begins at {@code index}, of fp32 values. */
    void add(MemorySegment values, long index) {
        for (int i = 0; i < width; i++) {
            vector[i] = values.getAtIndex(JAVA_FLOAT, index + i);
        }
        for (int i = 0; i < width; i++) {
            double factor = vector[i];
            int row = i * width;
            for (int j = 0; j < width; j++) {
                sum[row + j] += factor * vector[j];
            }
        }
        vectors++;
    }

    long vectors() {
        return vectors;
    }

    SecondMoment mean() {
        double[] mean = new double[sum.length];
        for (int i = 0; i < mean.length; i++) {
            mean[i] = sum[i] / vectors;
        }
        return new SecondMoment(vectors, mean);
    }
}
