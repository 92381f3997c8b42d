package io.sparrowkv.llm.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.io.InvalidInputException;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SamplerTest {
    /** Probabilities 0.1, 0.2, 0.3, 0.4. */
    private static final float[] LOGITS = {
        (float) Math.log(1), (float) Math.log(2), (float) Math.log(3), (float) Math.log(4)
    };

    @Test
    void greedyTakesTheLikeliestAndTheLowestAmongEquals() {
        assertThat(new Sampler(Sampling.GREEDY).next(LOGITS)).isEqualTo(3);
        assertThat(new Sampler(Sampling.GREEDY).next(new float[] {1, 7, 7, 2})).isEqualTo(1);
    }

    @ParameterizedTest
    @CsvSource({
        "1, 0, 1, 0.1 0.2 0.3 0.4",
        "1, 2, 1, 0 0 0.428571 0.571429",
        "1, 1, 1, 0 0 0 1",
        "1, 0, 0.5, 0 0 0.428571 0.571429", // 0.4 alone does not reach 0.5
        "1, 0, 0.39, 0 0 0 1",
        "1, 3, 0.5, 0 0 0.428571 0.571429", // of the three kept, 0.4/0.9 does not reach 0.5
        "0.5, 0, 1, 0.033333 0.133333 0.3 0.533333",
        "1, 99, 1, 0.1 0.2 0.3 0.4",
    })
    void drawsFollowTheDefinedDistribution(double temperature, int topK, double topP, String expected) {
        Sampler sampler = new Sampler(new Sampling(temperature, topK, topP, 42));
        int draws = 40_000;
        double[] found = new double[4];
        for (int i = 0; i < draws; i++) {
            found[sampler.next(LOGITS)] += 1.0 / draws;
        }
        String[] probabilities = expected.split(" ", -1);
        for (int i = 0; i < 4; i++) {
            double p = Double.parseDouble(probabilities[i]);
            assertThat(Math.abs(found[i] - p)).isLessThanOrEqualTo(4 * Math.sqrt(p * (1 - p) / draws) + 1e-9);
        }
    }

    @Test
    void theSameSeedGivesTheSameDraws() {
        Sampler one = new Sampler(new Sampling(0.8, 3, 0.9, 5));
        Sampler same = new Sampler(new Sampling(0.8, 3, 0.9, 5));
        Sampler other = new Sampler(new Sampling(0.8, 3, 0.9, 6));
        int[] draws = IntStream.range(0, 100).map(i -> one.next(LOGITS)).toArray();
        assertThat(IntStream.range(0, 100).map(i -> same.next(LOGITS)).toArray())
                .containsExactly(draws);
        assertThat(IntStream.range(0, 100).map(i -> other.next(LOGITS)).toArray())
                .isNotEqualTo(draws);
    }

    @ParameterizedTest
    @CsvSource({"-1, 0, 1", "NaN, 0, 1", "Infinity, 0, 1", "1, -1, 1", "1, 0, 0", "1, 0, 1.1", "1, 0, NaN"})
    void valuesOutOfRangeAreRefused(double temperature, int topK, double topP) {
        assertThatThrownBy(() -> new Sampling(temperature, topK, topP, 0)).isInstanceOf(InvalidInputException.class);
    }
}
