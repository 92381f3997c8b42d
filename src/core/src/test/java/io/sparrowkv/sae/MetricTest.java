package io.sparrowkv.sae;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.encode.WeighedDictionaries;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MetricTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 7, 16, 33, 128})
    void weighsErrorsByTheMomentsUpToScale(int dHead) {
        double[] moments = WeighedDictionaries.moments(dHead, 3);
        Metric metric = Metric.ofMoments(dHead, moments, 1);
        Random random = new Random(4);
        double ratio = weight(metric, unit(dHead, 0)) / form(moments, unit(dHead, 0));
        for (int i = 0; i < 5; i++) {
            float[] error = new float[dHead];
            for (int d = 0; d < dHead; d++) {
                error[d] = (float) random.nextGaussian();
            }
            double expected = ratio * form(moments, error);
            // Directions of hardly any moment keep a least weight.
            assertThat(weight(metric, error)).isCloseTo(expected, within(0.02 * expected));
        }
        double trace = 0;
        for (int d = 0; d < dHead; d++) {
            trace += weight(metric, unit(dHead, d));
        }
        assertThat(trace).isCloseTo(dHead, within(1e-3 * dHead));
    }

    @Test
    void aPowerOfZeroIsThePlainSquare() {
        Metric metric = Metric.ofMoments(24, WeighedDictionaries.moments(24, 5), 0);
        assertThat(metric.root()[0]).isCloseTo(1, within(1e-5f));
        assertThat(metric.root()[1]).isCloseTo(0, within(1e-5f));
    }

    @Test
    void aDirectionWithoutMomentKeepsAWeight() {
        double[] moments = new double[9];
        moments[0] = 4;
        Metric metric = Metric.ofMoments(3, moments, 1);
        assertThat(weight(metric, unit(3, 1))).isBetween(1e-4, 1e-2);
        assertThat(weight(metric, unit(3, 0))).isGreaterThan(2.9);
    }

    @Test
    void theInverseUndoesTheRoot() {
        Metric metric = WeighedDictionaries.metric(33, 6);
        float[] x = unit(33, 5);
        float[] turned = new float[33];
        float[] back = new float[33];
        Metric.multiply(metric.root(), x, turned);
        Metric.multiply(metric.inverse(), turned, back);
        for (int d = 0; d < 33; d++) {
            assertThat(back[d]).isCloseTo(x[d], within(1e-4f));
        }
        assertThat(Metric.ofRoot(33, metric.root()).inverse()[7]).isCloseTo(metric.inverse()[7], within(1e-3f));
    }

    @Test
    void whatIsNoMetricIsRefused() {
        assertThatThrownBy(() -> Metric.ofRoot(2, new float[] {1, 0.5f, 0, 1})).hasMessageContaining("symmetric");
        assertThatThrownBy(() -> Metric.ofRoot(2, new float[] {1, 2, 2, 1})).hasMessageContaining("not positive");
        assertThatThrownBy(() -> Metric.ofMoments(2, new double[] {0, 0, 0, 0}, 1))
                .hasMessageContaining("mean");
        assertThatThrownBy(() -> Metric.ofMoments(2, new double[] {1, Double.NaN, 0, 1}, 1))
                .hasMessageContaining("NaN");
        assertThatThrownBy(() -> Metric.ofMoments(1, new double[] {1}, 1.5)).hasMessageContaining("power");
    }

    private static float[] unit(int dHead, int axis) {
        float[] unit = new float[dHead];
        unit[axis] = 1;
        return unit;
    }

    private static double weight(Metric metric, float[] error) {
        float[] turned = new float[error.length];
        Metric.multiply(metric.root(), error, turned);
        double square = 0;
        for (float x : turned) {
            square += (double) x * x;
        }
        return square;
    }

    private static double form(double[] moments, float[] error) {
        double sum = 0;
        for (int i = 0; i < error.length; i++) {
            for (int j = 0; j < error.length; j++) {
                sum += error[i] * moments[i * error.length + j] * error[j];
            }
        }
        return sum;
    }
}
