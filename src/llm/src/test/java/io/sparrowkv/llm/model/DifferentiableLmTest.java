package io.sparrowkv.llm.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.ReferenceModel.Reads;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

class DifferentiableLmTest {
    private static final String ALL_MODELS = "io.sparrowkv.llm.model.CausalLmTest#models";
    private static final int TOKENS = 41;
    private static final double TOLERANCE = 1e-4;

    @TempDir
    Path folder;

    /** Elements of a token in the widest of the models. */
    private static final int WIDEST = 128;

    private static final Map<String, float[]> DEVIATIONS = new HashMap<>();

    /** Gaussian deviations, the same for whoever asks. */
    private static float deviation(int layer, VectorKind kind, int token, int element) {
        float[] ofLayer = DEVIATIONS.computeIfAbsent(layer + kind.label(), key -> {
            Random random = new Random(key.hashCode());
            float[] values = new float[TOKENS * WIDEST];
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) (0.5 * random.nextGaussian());
            }
            return values;
        });
        return ofLayer[token * WIDEST + element];
    }

    private static void write(int layer, VectorKind kind, MemorySegment vectors, MemorySegment deviation) {
        int width = (int) (vectors.byteSize() / Float.BYTES / TOKENS);
        for (int i = 0; i < TOKENS * width; i++) {
            deviation.setAtIndex(ValueLayout.JAVA_FLOAT, i, deviation(layer, kind, i / width, i % width));
        }
    }

    /** The definition, spelled out apart from {@link FarReads#end}. */
    private static boolean isFar(FarReads reads, int query, int token) {
        if (token < reads.sinks()) {
            return false;
        }
        int block = (token - reads.sinks()) / reads.blockTokens();
        int last = reads.sinks() + (block + 1) * reads.blockTokens() - 1;
        return query - last >= reads.window();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource(ALL_MODELS)
    void withoutDeviationsTheLogitsAreTheModels(String name, TinyModel model) {
        model.write(folder);
        int[] tokens = CausalLmTest.tokens(TOKENS);
        try (CausalLm lm = CausalLm.load(folder);
                NDManager manager = Libtorch.newManager();
                KvCache cache = new DenseKvCache(lm.config().attentionShape(), TOKENS)) {
            float[] expected = lm.forward(manager, tokens, cache, false).toFloatArray();
            for (int rows : new int[] {1, 7, 64}) {
                FarReads reads = FarReads.byToken(6, 2, RopeStage.PRE);
                try (GradientPass pass = new DifferentiableLm(lm, reads, rows)
                        .pass(tokens, Deviations.NONE, new PassLoss.SampledLabels(1))) {
                    assertClose(expected, pass.logits().toFloatArray());
                }
            }
        }
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource(ALL_MODELS)
    void farReadsSeeDeviatingKeysAndValues(String name, TinyModel model) {
        model.write(folder);
        int[] tokens = CausalLmTest.tokens(TOKENS);
        ReferenceModel reference = new ReferenceModel(folder);
        try (CausalLm lm = CausalLm.load(folder)) {
            for (FarReads reads : List.of(
                    FarReads.byToken(0, 0, RopeStage.PRE),
                    FarReads.byToken(3, 4, RopeStage.POST),
                    FarReads.byToken(17, 1, RopeStage.PRE),
                    new FarReads(2, 3, 8, RopeStage.POST),
                    FarReads.byToken(TOKENS, 0, RopeStage.PRE))) {
                ReferenceModel.Trace expected = reference.run(
                        tokens,
                        new Reads(
                                (query, token) -> isFar(reads, query, token),
                                reads.keys(),
                                DifferentiableLmTest::deviation));
                Map<String, float[]> shown = new HashMap<>();
                try (GradientPass pass = new DifferentiableLm(lm, reads, 9)
                        .pass(
                                tokens,
                                (layer, kind, vectors, deviation) -> {
                                    shown.put(layer + kind.label(), vectors.toArray(ValueLayout.JAVA_FLOAT));
                                    write(layer, kind, vectors, deviation);
                                },
                                new PassLoss.SampledLabels(1))) {
                    assertClose(flat(expected.logits()), pass.logits().toFloatArray());
                }
                for (int layer = 0; layer < lm.config().layers(); layer++) {
                    var keys = reads.keys() == RopeStage.PRE ? expected.keysBeforeRope() : expected.keysAfterRope();
                    assertClose(flat(keys.get(layer)), shown.get(layer + "key"));
                    assertClose(flat(expected.values().get(layer)), shown.get(layer + "value"));
                }
            }
        }
    }

    static Stream<Arguments> differentiated() {
        TinyModel llama = TinyModel.llama();
        TinyModel qwen = TinyModel.of("qwen3").set("head_dim", 12);
        TinyModel mistral = TinyModel.of("mistral").set("sliding_window", 11);
        return Stream.of(llama, qwen, mistral)
                .flatMap(model -> Stream.of(RopeStage.values())
                        .flatMap(stage -> Stream.of(true, false).map(sampled -> arguments(model, stage, sampled))));
    }

    @ParameterizedTest
    @MethodSource("differentiated")
    void gradientsAreTheSlopesOfTheLoss(TinyModel model, RopeStage stage, boolean sampled) {
        model.write(folder);
        int[] tokens = CausalLmTest.tokens(TOKENS);
        ReferenceModel reference = new ReferenceModel(folder);
        FarReads reads = FarReads.byToken(5, 2, stage);
        Reads.IsFar far = (query, token) -> isFar(reads, query, token);
        double[] teacher = flatDouble(reference.run(tokens).logits());
        try (CausalLm lm = CausalLm.load(folder);
                NDManager manager = Libtorch.newManager()) {
            PassLoss loss = sampled
                    ? new PassLoss.SampledLabels(3)
                    : new PassLoss.Divergence(manager.create(narrow(teacher)).reshape(TOKENS, TinyModel.VOCABULARY));
            int arrays = manager.getManagedArrays().size();
            try (GradientPass pass =
                    new DifferentiableLm(lm, reads, 16).pass(tokens, DifferentiableLmTest::write, loss)) {
                assertThat(manager.getManagedArrays().size()).isEqualTo(arrays);
                Random random = new Random(5);
                int width = lm.config().kvHeads() * lm.config().dHead();
                for (int layer = 0; layer < lm.config().layers(); layer++) {
                    for (VectorKind kind : VectorKind.values()) {
                        float[] gradient = pass.gradient(layer, kind).toArray(ValueLayout.JAVA_FLOAT);
                        double largest = largest(gradient);
                        assertThat(largest).isPositive();
                        for (int i = 0; i < 6; i++) {
                            Entry entry = new Entry(layer, kind, 2 + random.nextInt(TOKENS - 7), random.nextInt(width));
                            double slope = (loss(reference, tokens, far, stage, entry, 1e-4, pass, teacher)
                                            - loss(reference, tokens, far, stage, entry, -1e-4, pass, teacher))
                                    / 2e-4;
                            assertThat(gradient[entry.token * width + entry.element] / largest)
                                    .as("%s", entry)
                                    .isCloseTo(slope / largest, within(1e-3));
                        }
                    }
                }
                double expected =
                        loss(reference, tokens, far, stage, new Entry(0, VectorKind.KEY, 2, 0), 0, pass, teacher);
                assertThat(pass.loss() / expected).isCloseTo(1, within(1e-4));
            }
        }
    }

    private record Entry(int layer, VectorKind kind, int token, int element) {}

    /** The loss in double precision, with one deviation's element changed. */
    private static double loss(
            ReferenceModel reference,
            int[] tokens,
            Reads.IsFar far,
            RopeStage stage,
            Entry entry,
            double change,
            GradientPass pass,
            double[] teacher) {
        List<double[]> logits = reference
                .run(
                        tokens,
                        new Reads(
                                far,
                                stage,
                                (layer, kind, token, element) -> deviation(layer, kind, token, element)
                                        + (entry.equals(new Entry(layer, kind, token, element)) ? change : 0)))
                .logits();
        double sum = 0;
        int[] labels = pass.labels();
        for (int token = 0; token < TOKENS; token++) {
            double[] predicted = logSoftmax(logits.get(token));
            if (labels.length > 0) {
                sum -= predicted[labels[token]];
            } else {
                int vocabulary = predicted.length;
                double[] taught = logSoftmax(Arrays.copyOfRange(teacher, token * vocabulary, (token + 1) * vocabulary));
                for (int i = 0; i < vocabulary; i++) {
                    sum += Math.exp(taught[i]) * (taught[i] - predicted[i]) / TOKENS;
                }
            }
        }
        return sum;
    }

    @ParameterizedTest
    @EnumSource
    void tokensThatNobodyReadsFarHaveNoGradient(RopeStage stage) {
        TinyModel.llama().write(folder);
        try (CausalLm lm = CausalLm.load(folder)) {
            FarReads reads = FarReads.byToken(6, 3, stage);
            DifferentiableLm differentiable = new DifferentiableLm(lm, reads, 10);
            try (GradientPass pass =
                    differentiable.pass(CausalLmTest.tokens(TOKENS), Deviations.NONE, new PassLoss.SampledLabels(1))) {
                for (int layer = 0; layer < 2; layer++) {
                    for (VectorKind kind : VectorKind.values()) {
                        float[] gradient = pass.gradient(layer, kind).toArray(ValueLayout.JAVA_FLOAT);
                        int width = gradient.length / TOKENS;
                        for (int token = 0; token < TOKENS; token++) {
                            double largest = largest(Arrays.copyOfRange(gradient, token * width, (token + 1) * width));
                            assertThat(largest > 0).isEqualTo(token >= 3 && token < TOKENS - 6);
                            assertThat(reads.hasFarReader(token, TOKENS, 0)).isEqualTo(largest > 0);
                        }
                    }
                }
            }
            try (GradientPass pass =
                    differentiable.pass(CausalLmTest.tokens(9), Deviations.NONE, new PassLoss.SampledLabels(1))) {
                assertThat(largest(pass.gradient(1, VectorKind.KEY).toArray(ValueLayout.JAVA_FLOAT)))
                        .isZero();
            }
        }
    }

    @Test
    void aLayerWhoseSlidingWindowHidesAllFarTokensHasNoGradient() {
        TinyModel.of("mistral").set("sliding_window", 5).write(folder);
        try (CausalLm lm = CausalLm.load(folder);
                GradientPass pass = new DifferentiableLm(lm, FarReads.byToken(5, 0, RopeStage.PRE))
                        .pass(CausalLmTest.tokens(TOKENS), Deviations.NONE, new PassLoss.SampledLabels(1))) {
            for (VectorKind kind : VectorKind.values()) {
                assertThat(largest(pass.gradient(0, kind).toArray(ValueLayout.JAVA_FLOAT)))
                        .isZero();
            }
            FarReads reads = FarReads.byToken(5, 0, RopeStage.PRE);
            assertThat(reads.hasFarReader(0, TOKENS, 5)).isFalse();
            assertThat(reads.hasFarReader(0, TOKENS, 6)).isTrue();
            assertThat(reads.hasFarReader(TOKENS - 6, TOKENS, 6)).isTrue();
            assertThat(reads.hasFarReader(TOKENS - 5, TOKENS, 6)).isFalse();
        }
    }

    @Test
    void labelsAreDrawnFromThePredictionsByTheSeed() {
        TinyModel.llama().write(folder);
        int[] tokens = CausalLmTest.tokens(TOKENS);
        try (CausalLm lm = CausalLm.load(folder)) {
            DifferentiableLm differentiable = new DifferentiableLm(lm, FarReads.byToken(6, 3, RopeStage.PRE));
            assertThat(labels(differentiable, tokens, 5))
                    .isEqualTo(labels(differentiable, tokens, 5))
                    .isNotEqualTo(labels(differentiable, tokens, 6));

            // The mean of the loss over many draws is the predictions' entropy.
            int draws = 60;
            double sum = 0;
            double entropy = 0;
            double variance = 0;
            for (int seed = 0; seed < draws; seed++) {
                try (GradientPass pass =
                        differentiable.pass(tokens, Deviations.NONE, new PassLoss.SampledLabels(seed))) {
                    sum += pass.loss();
                    if (seed == 0) {
                        float[] logits = pass.logits().toFloatArray();
                        for (int token = 0; token < TOKENS; token++) {
                            double ofToken = 0;
                            double squares = 0;
                            for (double nats : logSoftmax(row(logits, token))) {
                                ofToken -= Math.exp(nats) * nats;
                                squares += Math.exp(nats) * nats * nats;
                            }
                            entropy += ofToken;
                            variance += squares - ofToken * ofToken;
                        }
                    }
                }
            }
            assertThat(sum / draws).isCloseTo(entropy, within(4 * Math.sqrt(variance / draws)));
        }
    }

    private static int[] labels(DifferentiableLm lm, int[] tokens, long seed) {
        try (GradientPass pass = lm.pass(tokens, Deviations.NONE, new PassLoss.SampledLabels(seed))) {
            return pass.labels();
        }
    }

    @Test
    void thePassesLeaveNothingBehindAndNoFailureStopsTheNext() {
        TinyModel.llama().write(folder);
        int[] tokens = CausalLmTest.tokens(TOKENS);
        try (CausalLm lm = CausalLm.load(folder);
                NDManager manager = Libtorch.newManager()) {
            DifferentiableLm differentiable = new DifferentiableLm(lm, FarReads.byToken(6, 3, RopeStage.PRE), 16);
            NDManager system = manager.getParentManager();
            int arrays = system.getManagedArrays().size();
            for (int i = 0; i < 20; i++) {
                try (GradientPass pass =
                        differentiable.pass(tokens, DifferentiableLmTest::write, new PassLoss.SampledLabels(i))) {
                    // two of each layer, and the logits
                    assertThat(pass.logits().getManager().getManagedArrays().size())
                            .isEqualTo(2 * 2 + 1);
                    assertThat(pass.logits().getManager()).isNotEqualTo(system);
                }
                assertThatThrownBy(() -> differentiable.pass(
                                new int[] {TinyModel.VOCABULARY}, Deviations.NONE, new PassLoss.SampledLabels(1)))
                        .isInstanceOf(InvalidInputException.class);
            }
            assertThat(system.getManagedArrays().size()).isEqualTo(arrays);
            assertThatThrownBy(() -> differentiable.pass(new int[129], Deviations.NONE, new PassLoss.SampledLabels(1)))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("129", "128");
            NDArray teacher = manager.zeros(new ai.djl.ndarray.types.Shape(2, 3));
            assertThatThrownBy(() -> differentiable.pass(tokens, Deviations.NONE, new PassLoss.Divergence(teacher)))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    private static float[] row(float[] logits, int token) {
        return Arrays.copyOfRange(logits, token * TinyModel.VOCABULARY, (token + 1) * TinyModel.VOCABULARY);
    }

    private static double[] logSoftmax(float[] logits) {
        double[] widened = new double[logits.length];
        Arrays.setAll(widened, i -> logits[i]);
        return logSoftmax(widened);
    }

    private static double[] logSoftmax(double[] logits) {
        double largest = Arrays.stream(logits).max().orElseThrow();
        double log =
                Math.log(Arrays.stream(logits).map(x -> Math.exp(x - largest)).sum());
        return Arrays.stream(logits).map(x -> x - largest - log).toArray();
    }

    private static double largest(float[] values) {
        double largest = 0;
        for (float value : values) {
            assertThat(value).isFinite();
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }

    private static double[] flatDouble(List<double[]> rows) {
        return rows.stream().flatMapToDouble(Arrays::stream).toArray();
    }

    private static float[] flat(List<double[]> rows) {
        return narrow(flatDouble(rows));
    }

    private static float[] narrow(double[] values) {
        float[] narrowed = new float[values.length];
        for (int i = 0; i < values.length; i++) {
            narrowed[i] = (float) values[i];
        }
        return narrowed;
    }

    private static void assertClose(float[] expected, float[] found) {
        assertThat(found).hasSameSizeAs(expected);
        double worst = 0;
        for (int i = 0; i < expected.length; i++) {
            assertThat(found[i]).isFinite();
            worst = Math.max(worst, Math.abs(expected[i] - found[i]));
        }
        assertThat(worst / largest(expected)).isLessThan(TOLERANCE);
    }
}
