package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.Metric;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Optional;

/**
 * The space in which a site's dictionary is trained: y = f R x, R the metric's root and f a factor that makes the mean square length dHead.
 * There the plain squared error is the metric's, and one learning rate fits all sites. What is trained there is taken back into weights
 * that take vectors as they are, so that encoding and reading cost nothing more.
 *
 * @param factor f
 * @param metric R; none for the identity
 */
record TrainingSpace(float factor, Optional<Metric> metric) {
    TrainingSpace scaled(float factor) {
        return new TrainingSpace(factor, metric);
    }

    /**
     * Brings vectors that were multiplied with the factor already into the space, in place.
     *
     * @param rows {@code [rows, dHead]}
     */
    void turn(MemorySegment vectors, int first, int rows) {
        if (metric.isPresent()) {
            float[] root = metric.get().root();
            int dHead = metric.get().dHead();
            multiplyRows(root, dHead, vectors, first, rows);
        }
    }

    /**
     * Puts a dictionary over vectors as they are into the space. Atoms get unit length, and the coefficients that the encoder gives take
     * it over.
     *
     * @param working what is trained, of the same shape, without a metric
     */
    void enter(Dictionary from, Dictionary working) {
        int dHead = from.dHead();
        working.encoderWeights().copyFrom(from.encoderWeights());
        working.decoderWeights().copyFrom(from.decoderWeights());
        working.encoderBias().copyFrom(from.encoderBias());
        working.decoderBias().copyFrom(from.decoderBias());
        metric.ifPresent(m -> {
            multiplyRows(m.inverse(), dHead, working.encoderWeights(), 0, from.latents());
            multiplyRows(m.root(), dHead, working.decoderWeights(), 0, from.latents());
            multiplyRows(m.root(), dHead, working.decoderBias(), 0, 1);
        });
        if (metric.isPresent() || from.metric().isPresent()) {
            for (int latent = 0; latent < from.latents(); latent++) {
                long row = (long) latent * dHead;
                float length = (float)
                        Math.sqrt(Lanes.dot(working.decoderWeights(), row, working.decoderWeights(), row, dHead));
                Lanes.normalise(working.decoderWeights(), row, dHead);
                Lanes.scale(working.encoderWeights(), row, length, working.encoderWeights(), row, dHead);
                Lanes.scale(working.encoderBias(), latent, length, working.encoderBias(), latent, 1);
            }
        }
        Lanes.scale(working.encoderBias(), 0, factor, working.encoderBias(), 0, from.latents());
        Lanes.scale(working.decoderBias(), 0, factor, working.decoderBias(), 0, dHead);
    }

    /** The dictionary over vectors as they are; the caller closes it. */
    Dictionary leave(Dictionary working) {
        Dictionary plain =
                Dictionary.allocate(working.site(), working.rope(), working.dHead(), working.latents(), metric);
        plain.encoderWeights().copyFrom(working.encoderWeights());
        plain.decoderWeights().copyFrom(working.decoderWeights());
        divide(working.encoderBias(), plain.encoderBias());
        divide(working.decoderBias(), plain.decoderBias());
        metric.ifPresent(m -> {
            multiplyRows(m.root(), working.dHead(), plain.encoderWeights(), 0, working.latents());
            multiplyRows(m.inverse(), working.dHead(), plain.decoderWeights(), 0, working.latents());
            multiplyRows(m.inverse(), working.dHead(), plain.decoderBias(), 0, 1);
        });
        return plain;
    }

    private void divide(MemorySegment from, MemorySegment to) {
        for (long i = 0; i < from.byteSize() / Float.BYTES; i++) {
            to.setAtIndex(JAVA_FLOAT, i, from.getAtIndex(JAVA_FLOAT, i) / factor);
        }
    }

    private static void multiplyRows(float[] matrix, int dHead, MemorySegment rows, int first, int count) {
        float[] x = new float[dHead];
        float[] y = new float[dHead];
        for (int row = first; row < first + count; row++) {
            MemorySegment.copy(rows, JAVA_FLOAT, (long) row * dHead * Float.BYTES, x, 0, dHead);
            Metric.multiply(matrix, x, y);
            MemorySegment.copy(y, 0, rows, JAVA_FLOAT, (long) row * dHead * Float.BYTES, dHead);
        }
    }

    /** What the result of a training depends on. */
    String identity() {
        return metric.map(m -> Integer.toHexString(Arrays.hashCode(m.root()))).orElse("none");
    }
}
