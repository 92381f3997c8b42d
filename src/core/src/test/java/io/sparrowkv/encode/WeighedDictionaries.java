package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.Metric;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import java.util.Random;

/** Dictionaries with a metric, for tests. */
public final class WeighedDictionaries {
    private WeighedDictionaries() {}

    /** Second moments whose directions differ by orders of magnitude, {@code [dHead, dHead]}. */
    public static double[] moments(int dHead, long seed) {
        Random random = new Random(seed);
        double[] moments = new double[dHead * dHead];
        for (int sample = 0; sample < 2 * dHead; sample++) {
            double size = Math.exp(random.nextGaussian());
            double[] g = random.doubles(dHead, -size, size).toArray();
            for (int i = 0; i < dHead; i++) {
                for (int j = 0; j < dHead; j++) {
                    moments[i * dHead + j] += g[i] * g[j] / Math.sqrt((1.0 + i) * (1.0 + j));
                }
            }
        }
        return moments;
    }

    /** A metric of such moments. */
    public static Metric metric(int dHead, long seed) {
        return Metric.ofMoments(dHead, moments(dHead, seed), 1);
    }

    /** The same weights, with a metric; the caller closes it. */
    public static Dictionary of(Dictionary plain, long seed) {
        Dictionary weighed = Dictionary.allocate(
                plain.site(), plain.rope(), plain.dHead(), plain.latents(), Optional.of(metric(plain.dHead(), seed)));
        weighed.encoderWeights().copyFrom(plain.encoderWeights());
        weighed.decoderWeights().copyFrom(plain.decoderWeights());
        weighed.encoderBias().copyFrom(plain.encoderBias());
        weighed.decoderBias().copyFrom(plain.decoderBias());
        return weighed;
    }

    /** The weight of what a code leaves of its vector; its square without a metric. */
    public static double error(
            Dictionary dictionary, Optional<Metric> metric, MemorySegment vectors, int row, CodeBatch codes) {
        int dHead = dictionary.dHead();
        double[] residual = new double[dHead];
        for (int d = 0; d < dHead; d++) {
            residual[d] = vectors.getAtIndex(JAVA_FLOAT, (long) row * dHead + d)
                    - dictionary.decoderBias().getAtIndex(JAVA_FLOAT, d);
            for (int pair = 0; pair < codes.count(row); pair++) {
                residual[d] -= codes.coefficient(row, pair)
                        * dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, (long) codes.index(row, pair) * dHead + d);
            }
        }
        double error = 0;
        for (int i = 0; i < dHead; i++) {
            double turned = residual[i];
            if (metric.isPresent()) {
                turned = 0;
                for (int j = 0; j < dHead; j++) {
                    turned += metric.get().root()[i * dHead + j] * residual[j];
                }
            }
            error += turned * turned;
        }
        return error;
    }
}
