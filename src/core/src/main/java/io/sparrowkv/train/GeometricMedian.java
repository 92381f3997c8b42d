package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The point with the least sum of distances to a set of vectors, by Weiszfeld's iteration: a centre that a few vectors far out, such
 * as those of attention sinks, do not pull.
 */
final class GeometricMedian {
    private static final int MAX_ITERATIONS = 64;
    private static final double TOLERANCE = 1e-5;

    private GeometricMedian() {}

    /**
     * @param vectors {@code [rows, width]}
     * @return {@code [width]}
     */
    static double[] of(MemorySegment vectors, int rows, int width) {
        float[] values = vectors.asSlice(0, (long) rows * width * Float.BYTES).toArray(JAVA_FLOAT);
        double[] median = new double[width];
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < width; i++) {
                median[i] += values[row * width + i] / (double) rows;
            }
        }
        double[] next = new double[width];
        for (int iteration = 0; iteration < MAX_ITERATIONS; iteration++) {
            Arrays.fill(next, 0);
            double weights = 0;
            for (int row = 0; row < rows; row++) {
                int first = row * width;
                double squared = 0;
                for (int i = 0; i < width; i++) {
                    double difference = values[first + i] - median[i];
                    squared += difference * difference;
                }
                double weight = 1 / Math.max(Math.sqrt(squared), 1e-12);
                weights += weight;
                for (int i = 0; i < width; i++) {
                    next[i] += weight * values[first + i];
                }
            }
            double moved = 0;
            double length = 0;
            for (int i = 0; i < width; i++) {
                double value = next[i] / weights;
                moved += (value - median[i]) * (value - median[i]);
                length += value * value;
                median[i] = value;
            }
            if (moved <= TOLERANCE * TOLERANCE * length) {
                break;
            }
        }
        return median;
    }
}
