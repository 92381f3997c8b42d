package io.sparrowkv.train;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * Adam (Kingma and Ba, arXiv 1412.6980) for rows that are updated only in the steps that have a gradient for them. The bias
 * correction counts a row's own updates, so that a rare atom's first steps are as long as everyone's.
 */
final class Adam {
    static final float BETA1 = 0.9f;
    static final float BETA2 = 0.999f;
    static final float EPSILON = 1e-8f;

    /** Updates after which both corrections are 1 in fp32: 0.999^20000 is 2e-9. */
    private static final int CORRECTED = 20_000;

    /** Running means of a weight array's gradient and of its square. */
    record Moments(MemorySegment first, MemorySegment second) {
        static Moments allocate(Arena arena, MemorySegment weights) {
            return new Moments(arena.allocate(weights.byteSize(), 64), arena.allocate(weights.byteSize(), 64));
        }
    }

    private final float[] firstCorrection = new float[CORRECTED + 1];
    private final float[] secondCorrection = new float[CORRECTED + 1];

    Adam() {
        for (int t = 1; t <= CORRECTED; t++) {
            firstCorrection[t] = (float) (1 / (1 - Math.pow(BETA1, t)));
            secondCorrection[t] = (float) (1 / Math.sqrt(1 - Math.pow(BETA2, t)));
        }
    }

    /**
     * Moves {@code width} weights against their gradient.
     *
     * @param update which update of these weights this is, from 1
     * @param index of the first weight, and of its two moments
     * @param gradientIndex of the first weight's gradient
     */
    void update(
            MemorySegment weights,
            Moments moments,
            long index,
            MemorySegment gradient,
            long gradientIndex,
            int width,
            float learningRate,
            int update) {
        MemorySegment first = moments.first;
        MemorySegment second = moments.second;
        int t = Math.min(update, CORRECTED);
        float rate = learningRate * firstCorrection[t];
        float correction = secondCorrection[t];
        int i = 0;
        for (; i + Lanes.LENGTH <= width; i += Lanes.LENGTH) {
            FloatVector g = Lanes.load(gradient, gradientIndex + i);
            FloatVector m = mean(Lanes.load(first, index + i), g, BETA1);
            FloatVector v = mean(Lanes.load(second, index + i), g.mul(g), BETA2);
            Lanes.store(m, first, index + i);
            Lanes.store(v, second, index + i);
            Lanes.store(moved(Lanes.load(weights, index + i), m, v, rate, correction), weights, index + i);
        }
        if (i < width) {
            VectorMask<Float> mask = Lanes.within(i, width);
            FloatVector g = Lanes.load(gradient, gradientIndex + i, mask);
            FloatVector m = mean(Lanes.load(first, index + i, mask), g, BETA1);
            FloatVector v = mean(Lanes.load(second, index + i, mask), g.mul(g), BETA2);
            Lanes.store(m, first, index + i, mask);
            Lanes.store(v, second, index + i, mask);
            FloatVector w = Lanes.load(weights, index + i, mask);
            Lanes.store(moved(w, m, v, rate, correction), weights, index + i, mask);
        }
    }

    private static FloatVector mean(FloatVector mean, FloatVector value, float beta) {
        return mean.add(value.sub(mean).mul(1 - beta));
    }

    private static FloatVector moved(FloatVector w, FloatVector m, FloatVector v, float rate, float correction) {
        return w.sub(m.mul(rate).div(v.sqrt().mul(correction).add(EPSILON)));
    }
}
