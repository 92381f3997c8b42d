package io.sparrowkv.llm.gradient;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Deviations;
import io.sparrowkv.llm.model.DifferentiableLm;
import io.sparrowkv.llm.model.FarReads;
import io.sparrowkv.llm.model.GradientPass;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.model.PassLoss;
import io.sparrowkv.llm.model.TinyModel;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SortedMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FisherMetricTest {
    private static final int D = 8;
    private static final int KV_HEADS = 2;
    private static final FarReads READS = FarReads.byToken(5, 2, RopeStage.PRE);

    @TempDir
    Path folder;

    private static int[] tokens(int count) {
        return new Random(7).ints(count, 0, TinyModel.VOCABULARY).toArray();
    }

    private static List<Site> allSites() {
        List<Site> sites = new ArrayList<>();
        for (VectorKind kind : VectorKind.values()) {
            for (int layer = 0; layer < 2; layer++) {
                for (int head = Site.JOINT_HEADS; head < KV_HEADS; head++) {
                    sites.add(new Site(layer, kind, head));
                }
            }
        }
        return sites;
    }

    private static SortedMap<Site, SecondMoment> measure(
            CausalLm lm, FarReads reads, int[] tokens, int contexts, long seed) {
        try (ModelVectorSource text = new ModelVectorSource(lm, tokens, 30)) {
            return new FisherMetric(lm, reads).measure(text, contexts, allSites(), seed, (done, all) -> {});
        }
    }

    @Test
    void aMomentIsSymmetricPositiveAndAFunctionOfTheSeed() {
        TinyModel.of("qwen3").set("head_dim", D).write(folder);
        try (CausalLm lm = CausalLm.load(folder)) {
            SortedMap<Site, SecondMoment> moments = measure(lm, READS, tokens(75), 3, 4);
            assertThat(moments.keySet()).containsExactlyInAnyOrderElementsOf(allSites());
            Random random = new Random(1);
            moments.forEach((site, moment) -> {
                int width = site.heads().width(KV_HEADS, D);
                // two contexts of 30 tokens and one of 15, less 2 sinks and 5 in the window
                assertThat(moment.vectors()).isEqualTo(site.heads().vectorsOfToken(KV_HEADS) * (23 + 23 + 8));
                double[] s = moment.matrix();
                for (int i = 0; i < width; i++) {
                    for (int j = 0; j < width; j++) {
                        assertThat(s[i * width + j]).isEqualTo(s[j * width + i]);
                    }
                    assertThat(s[i * width + i]).isPositive();
                }
                for (int i = 0; i < 50; i++) {
                    double[] x = random.doubles(width, -1, 1).toArray();
                    assertThat(form(s, x)).isGreaterThan(0);
                }
            });
            assertThat(measure(lm, READS, tokens(75), 3, 4))
                    .usingRecursiveComparison()
                    .isEqualTo(moments);
            assertThat(measure(lm, READS, tokens(75), 3, 5)
                            .firstEntry()
                            .getValue()
                            .matrix())
                    .isNotEqualTo(moments.firstEntry().getValue().matrix());
        }
    }

    @Test
    void aLayersMomentIsTheMeanOfItsHeads() {
        TinyModel.llama().write(folder);
        try (CausalLm lm = CausalLm.load(folder)) {
            SortedMap<Site, SecondMoment> moments = measure(lm, READS, tokens(60), 2, 4);
            for (VectorKind kind : VectorKind.values()) {
                double[] all = moments.get(Site.of(1, kind)).matrix();
                double[] first = moments.get(new Site(1, kind, 0)).matrix();
                double[] second = moments.get(new Site(1, kind, 1)).matrix();
                assertThat(first).isNotEqualTo(second);
                double[] mean = new double[D * D];
                Arrays.setAll(mean, i -> (first[i] + second[i]) / 2);
                assertThat(all).containsExactly(mean, within(1e-12));
            }
        }
    }

    @Test
    void aJointMomentHasThoseOfItsHeadsOnItsDiagonal() {
        TinyModel.llama().write(folder);
        try (CausalLm lm = CausalLm.load(folder)) {
            SortedMap<Site, SecondMoment> moments = measure(lm, READS, tokens(60), 2, 4);
            for (VectorKind kind : VectorKind.values()) {
                double[] joint = moments.get(Site.joint(1, kind)).matrix();
                double across = 0;
                for (int head = 0; head < KV_HEADS; head++) {
                    double[] own = moments.get(new Site(1, kind, head)).matrix();
                    for (int i = 0; i < D; i++) {
                        for (int j = 0; j < D; j++) {
                            int row = head * D + i;
                            assertThat(joint[row * KV_HEADS * D + head * D + j]).isEqualTo(own[i * D + j]);
                            across += Math.abs(joint[row * KV_HEADS * D + (1 - head) * D + j]);
                        }
                    }
                }
                assertThat(across).isPositive();
            }
        }
    }

    /**
     * Layer 1 reads values through a W_o that is blind to one direction of every head, and its queries are zero in one pair of
     * elements that RoPE turns.
     */
    @Test
    void directionsThatAttentionIsBlindToHaveNoWeight() {
        double[] blind = {0.5, -0.5, 0.1, 0.3, 0, 0.4, -0.4, Math.sqrt(1 - 0.5 - 0.1 - 0.32)};
        TinyModel.llama()
                .change((name, values) -> {
                    if (name.equals("model.layers.1.self_attn.o_proj.weight")) {
                        for (int from = 0; from < values.length; from += D) {
                            double along = 0;
                            for (int i = 0; i < D; i++) {
                                along += values[from + i] * blind[i];
                            }
                            for (int i = 0; i < D; i++) {
                                values[from + i] -= (float) (along * blind[i]);
                            }
                        }
                    } else if (name.equals("model.layers.1.self_attn.q_proj.weight")) {
                        int width = 32;
                        for (int row = 0; row < values.length / width; row++) {
                            if (row % D == 1 || row % D == 1 + D / 2) {
                                Arrays.fill(values, row * width, (row + 1) * width, 0);
                            }
                        }
                    }
                })
                .write(folder);
        try (CausalLm lm = CausalLm.load(folder)) {
            for (RopeStage stage : RopeStage.values()) {
                SortedMap<Site, SecondMoment> moments = measure(lm, FarReads.byToken(5, 2, stage), tokens(60), 2, 4);
                double[] values = moments.get(Site.of(1, VectorKind.VALUE)).matrix();
                assertThat(form(values, blind) / trace(values)).isLessThan(1e-10);
                assertThat(form(moments.get(Site.of(0, VectorKind.VALUE)).matrix(), blind))
                        .isPositive();
                double[] keys = moments.get(Site.of(1, VectorKind.KEY)).matrix();
                for (int i = 0; i < D; i++) {
                    assertThat(keys[i * D + i] == 0).isEqualTo(i % (D / 2) == 1);
                }
                // a direction across the blind one has its weight
                double[] other = {blind[1], -blind[0], 0, 0, 0, 0, 0, 0};
                assertThat(form(values, other) / trace(values)).isGreaterThan(1e-3);
            }
        }
    }

    /** A small deviation's divergence is half its Fisher form: the claim that the metric stands on. */
    @Test
    void theDivergenceOfASmallDeviationIsHalfItsForm() {
        TinyModel.llama().write(folder);
        int[] tokens = tokens(30);
        try (CausalLm lm = CausalLm.load(folder);
                NDManager manager = Libtorch.newManager()) {
            DifferentiableLm differentiable = new DifferentiableLm(lm, READS);
            Map<String, float[]> deviations = new HashMap<>();
            Random random = new Random(3);
            for (int layer = 0; layer < 2; layer++) {
                for (VectorKind kind : VectorKind.values()) {
                    float[] deviation = new float[tokens.length * KV_HEADS * D];
                    for (int i = 0; i < deviation.length; i++) {
                        deviation[i] = (float) (0.02 * random.nextGaussian());
                    }
                    deviations.put(layer + kind.label(), deviation);
                }
            }
            int draws = 200;
            double sum = 0;
            double divergence = 0;
            for (int draw = 0; draw < draws; draw++) {
                try (GradientPass pass =
                        differentiable.pass(tokens, Deviations.NONE, new PassLoss.SampledLabels(draw))) {
                    double slope = 0;
                    for (int layer = 0; layer < 2; layer++) {
                        for (VectorKind kind : VectorKind.values()) {
                            slope += dot(pass.gradient(layer, kind), deviations.get(layer + kind.label()));
                        }
                    }
                    sum += slope * slope;
                    if (draw == 0) {
                        NDArray teacher = pass.logits();
                        try (GradientPass deviating = differentiable.pass(
                                tokens,
                                (layer, kind, vectors, deviation) ->
                                        deviation.copyFrom(MemorySegment.ofArray(deviations.get(layer + kind.label()))),
                                new PassLoss.Divergence(teacher))) {
                            divergence = deviating.loss() * tokens.length;
                        }
                    }
                }
            }
            double form = sum / draws;
            // slopes are close to Gaussian: the mean of their squares has a relative deviation of √(2 / draws)
            assertThat(divergence / (form / 2)).isCloseTo(1, within(4 * Math.sqrt(2.0 / draws)));
        }
    }

    @Test
    void progressIsToldAndWhatCannotBeMeasuredIsRefused() {
        TinyModel.llama().write(folder);
        try (CausalLm lm = CausalLm.load(folder);
                ModelVectorSource text = new ModelVectorSource(lm, tokens(14), 7)) {
            List<String> told = new ArrayList<>();
            FarReads near = FarReads.byToken(4, 2, RopeStage.PRE);
            new FisherMetric(lm, near).measure(text, 2, allSites(), 1, (done, all) -> told.add(done + "/" + all));
            assertThat(told).containsExactly("1/2", "2/2");
            FisherMetric metric = new FisherMetric(lm, READS);
            assertThatThrownBy(() -> metric.measure(text, 3, allSites(), 1, (done, all) -> {}))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("3", "2");
            assertThatThrownBy(() -> metric.measure(text, 2, allSites(), 1, (done, all) -> {}))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("layer.00.key", "window 5", "2 sinks");
        }
    }

    private static double dot(MemorySegment gradient, float[] deviation) {
        double sum = 0;
        for (int i = 0; i < deviation.length; i++) {
            sum += (double) gradient.getAtIndex(ValueLayout.JAVA_FLOAT, i) * deviation[i];
        }
        return sum;
    }

    /** xᵀSx. */
    private static double form(double[] s, double[] x) {
        double sum = 0;
        for (int i = 0; i < x.length; i++) {
            for (int j = 0; j < x.length; j++) {
                sum += x[i] * s[i * x.length + j] * x[j];
            }
        }
        return sum;
    }

    private static double trace(double[] s) {
        double trace = 0;
        for (int i = 0; i < D; i++) {
            trace += s[i * D + i];
        }
        return trace;
    }
}
