package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * x · weight / √(mean(x²) + eps) over the last dimension. Written in Java because libtorch's binding has it only as six operators,
 * which cost more than the arithmetic when a single token is decoded.
 */
final class RmsNorm {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT;

    private final float[] weight;
    private final double eps;

    RmsNorm(float[] weight, float eps) {
        this.weight = weight;
        this.eps = eps;
    }

    /** The norm of each row, as a new array of {@code manager} in {@code input}'s shape. */
    NDArray apply(NDManager manager, NDArray input) {
        NDArray output = manager.create(input.getShape(), input.getDataType());
        normalize(Libtorch.memory(input), Libtorch.memory(output), input.size() / weight.length);
        return output;
    }

    /** Normalizes each row in place; {@code rows} must be contiguous. */
    void applyInPlace(NDArray rows) {
        MemorySegment memory = Libtorch.memory(rows);
        normalize(memory, memory, rows.size() / weight.length);
    }

    /** The norm of each row, in operators that libtorch can differentiate; an array of {@code input}'s manager. */
    NDArray differentiable(NDArray input) {
        NDArray rootMeanSquare =
                input.square().mean(new int[] {-1}, true).add(eps).sqrt();
        return input.div(rootMeanSquare).mul(input.getManager().create(weight));
    }

    private void normalize(MemorySegment in, MemorySegment out, long rows) {
        int width = weight.length;
        for (long row = 0; row < rows; row++) {
            MemorySegment x = in.asSlice(row * width * Float.BYTES, (long) width * Float.BYTES);
            MemorySegment y = out.asSlice(row * width * Float.BYTES, (long) width * Float.BYTES);
            float scale = (float) (1 / Math.sqrt(sumOfSquares(x, width) / width + eps));
            for (int i = 0; i < width; i++) {
                y.setAtIndex(FLOAT, i, weight[i] * (x.getAtIndex(FLOAT, i) * scale));
            }
        }
    }

    /** Four sums, so that the additions do not wait for each other. */
    private static double sumOfSquares(MemorySegment x, int width) {
        double a = 0;
        double b = 0;
        double c = 0;
        double d = 0;
        int i = 0;
        for (; i + 3 < width; i += 4) {
            a += square(x.getAtIndex(FLOAT, i));
            b += square(x.getAtIndex(FLOAT, i + 1));
            c += square(x.getAtIndex(FLOAT, i + 2));
            d += square(x.getAtIndex(FLOAT, i + 3));
        }
        for (; i < width; i++) {
            a += square(x.getAtIndex(FLOAT, i));
        }
        return a + b + c + d;
    }

    private static double square(double value) {
        return value * value;
    }
}
