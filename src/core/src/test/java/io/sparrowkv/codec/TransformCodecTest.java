package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.codec.TransformFit.Sample;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TransformCodecTest {
    /** Vectors whose variance lies in a few directions, around a mean. */
    private static float[] vectors(int rows, int dHead, long seed) {
        Random fixed = new Random(7);
        float[][] directions = new float[4][dHead];
        float[] mean = new float[dHead];
        for (int d = 0; d < dHead; d++) {
            mean[d] = (float) fixed.nextGaussian();
            for (float[] direction : directions) {
                direction[d] = (float) fixed.nextGaussian();
            }
        }
        Random random = new Random(seed);
        float[] vectors = new float[rows * dHead];
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < directions.length; i++) {
                float coordinate = (float) (random.nextGaussian() * (8 >> i));
                for (int d = 0; d < dHead; d++) {
                    vectors[row * dHead + d] += coordinate * directions[i][d];
                }
            }
            for (int d = 0; d < dHead; d++) {
                vectors[row * dHead + d] += mean[d] + (float) (0.05 * random.nextGaussian());
            }
        }
        return vectors;
    }

    private static PrincipalAxes axes(float[] vectors, int dHead) {
        PrincipalAxes.Fit fit = new PrincipalAxes.Fit(dHead);
        fit.add(MemorySegment.ofArray(vectors), vectors.length / dHead);
        return fit.axes();
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 16, 24, 80})
    void axesAreOrthonormalAndCoordinatesDoNotCorrelate(int dHead) {
        int rows = 500;
        float[] vectors = vectors(rows, dHead, 1);
        PrincipalAxes axes = axes(vectors, dHead);
        for (int i = 0; i < dHead; i++) {
            for (int j = 0; j <= i; j++) {
                double dot = 0;
                for (int d = 0; d < dHead; d++) {
                    dot += (double) axes.axes()[i * dHead + d] * axes.axes()[j * dHead + d];
                }
                assertThat(dot).isCloseTo(i == j ? 1 : 0, within(1e-5));
            }
            assertThat(i == 0 ? 0 : axes.variances()[i]).isLessThanOrEqualTo(axes.variances()[Math.max(0, i - 1)]);
        }
        double[] first = new double[rows];
        float[] coordinates = new float[dHead];
        double variance = 0;
        double product = 0;
        for (int row = 0; row < rows; row++) {
            axes.project(vectors, row * dHead, coordinates);
            first[row] = coordinates[0];
            variance += first[row] * first[row] / rows;
            product += first[row] * coordinates[1] / rows;
        }
        assertThat(variance).isCloseTo(axes.variances()[0], within(1e-3 * axes.variances()[0]));
        assertThat(product).isCloseTo(0, within(1e-3 * variance));
    }

    @ParameterizedTest
    @CsvSource({"16, 64, 0.5", "24, 1, 0.01", "128, 64, 3", "2, 64, 0.0005"})
    void noCoordinateIsFurtherOffThanHalfAStep(int dHead, int count, float step) {
        PrincipalAxes axes = axes(vectors(300, dHead, 1), dHead);
        TransformCodec codec = new TransformCodec(axes, step);
        float[] vectors = vectors(count, dHead, 2);
        float[] decoded = new float[vectors.length];
        codec.decode(codec.encode(vectors, count), count, decoded);
        float[] before = new float[dHead];
        float[] after = new float[dHead];
        for (int t = 0; t < count; t++) {
            axes.project(vectors, t * dHead, before);
            axes.project(decoded, t * dHead, after);
            for (int i = 0; i < dHead; i++) {
                assertThat(after[i]).isCloseTo(before[i], within(step / 2 + 1e-5f * Math.abs(before[i]) + 1e-5f));
            }
        }
    }

    @Test
    void bytesThatAreNoBlockAreRefused() {
        TransformCodec codec = new TransformCodec(axes(vectors(300, 16, 1), 16), 0.5f);
        byte[] bytes = codec.encode(vectors(64, 16, 2), 64);
        float[] decoded = new float[64 * 16];
        assertThatThrownBy(() -> codec.decode(Arrays.copyOf(bytes, bytes.length / 2), 64, decoded))
                .isInstanceOf(IllegalStateException.class);
        byte[] noise = new byte[100];
        Arrays.fill(noise, (byte) 0xFF);
        assertThatThrownBy(() -> codec.decode(noise, 64, decoded)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void aFitMeetsItsBytesAndLosesTheSamePartOfEverySite() {
        int dHead = 32;
        int rows = 64 * 20;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment small = arena.allocateFrom(JAVA_FLOAT, vectors(rows, dHead, 3));
            float[] scaled = vectors(rows, dHead, 4);
            for (int i = 0; i < scaled.length; i++) {
                scaled[i] *= 100;
            }
            MemorySegment large = arena.allocateFrom(JAVA_FLOAT, scaled);
            Site keys = Site.of(0, VectorKind.KEY);
            Site values = Site.of(0, VectorKind.VALUE);
            Map<Site, Sample> samples = Map.of(keys, new Sample(small, rows), values, new Sample(large, rows));
            TransformFit fit = TransformFit.of(samples, dHead);
            Map<Site, TransformCodec> codecs = fit.codecs(12);
            double bytes = 0;
            for (Site site : samples.keySet()) {
                float[] vectors = new float[64 * dHead];
                for (int block = 0; block < 20; block++) {
                    long at = (long) block * vectors.length * Float.BYTES;
                    MemorySegment.copy(samples.get(site).vectors(), JAVA_FLOAT, at, vectors, 0, vectors.length);
                    bytes += codecs.get(site).encode(vectors, 64).length / (64.0 * 20);
                }
            }
            assertThat(bytes).isBetween(11.0, 12.5);
            assertThat(codecs.get(values).step() / codecs.get(keys).step()).isBetween(80f, 120f);
            assertThat(fit.codecs(6).get(keys).step())
                    .isGreaterThan(codecs.get(keys).step());
            assertThatThrownBy(() -> fit.codecs(0.01))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContaining("0.01");
        }
    }
}
