package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.MemorySegment;

/** Moments of a set of vectors, in double precision. */
final class Statistics {
    private Statistics() {}

    /** Mean of |x|² over {@code vectors}, {@code [rows, width]}. */
    static double meanSquare(MemorySegment vectors, int rows, int width) {
        double sum = 0;
        for (long i = 0; i < (long) rows * width; i++) {
            double x = vectors.getAtIndex(JAVA_FLOAT, i);
            sum += x * x;
        }
        return sum / rows;
    }

    /** Mean of the vectors, {@code [width]}. */
    static double[] mean(MemorySegment vectors, int rows, int width) {
        double[] mean = new double[width];
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < width; i++) {
                mean[i] += vectors.getAtIndex(JAVA_FLOAT, (long) row * width + i) / rows;
            }
        }
        return mean;
    }

    /** Mean of |x − mean|². */
    static double variance(MemorySegment vectors, int rows, int width) {
        double squaredMean = 0;
        for (double x : mean(vectors, rows, width)) {
            squaredMean += x * x;
        }
        return meanSquare(vectors, rows, width) - squaredMean;
    }
}
