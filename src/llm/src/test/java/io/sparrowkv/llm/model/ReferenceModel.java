package io.sparrowkv.llm.model;

import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.SafetensorsFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The oracle: a decoder model in double precision, plain Java, one token after the other, written to be read. */
public final class ReferenceModel {
    /** What each layer held for each token, {@code [layer][token]}: vectors of all KV heads, head after head. */
    public record Trace(
            List<double[]> logits,
            List<List<double[]>> keyProjection,
            List<List<double[]>> keysBeforeRope,
            List<List<double[]>> keysAfterRope,
            List<List<double[]>> values) {
        static Trace empty(int layers) {
            return new Trace(new ArrayList<>(), lists(layers), lists(layers), lists(layers), lists(layers));
        }

        private static List<List<double[]>> lists(int count) {
            List<List<double[]>> lists = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                lists.add(new ArrayList<>());
            }
            return lists;
        }
    }

    /** What some reads of attention see instead of the vectors themselves: a far read sees more by a deviation. */
    public record Reads(IsFar far, RopeStage keys, Deviation deviation) {
        public static final Reads DENSE = new Reads((query, token) -> false, RopeStage.POST, (l, k, t, e) -> 0);

        /** Whether a query reads a token far. */
        @FunctionalInterface
        public interface IsFar {
            boolean test(int query, int token);
        }

        /** One element of a token's deviation, of the vectors of all KV heads, head after head. */
        @FunctionalInterface
        public interface Deviation {
            double of(int layer, VectorKind kind, int token, int element);
        }
    }

    private final ModelConfig config;
    private final Map<String, double[]> weights = new HashMap<>();

    public ReferenceModel(Path folder) {
        config = ModelConfig.read(folder);
        try (var files = Files.list(folder)) {
            files.filter(f -> f.getFileName().toString().startsWith("model")
                            && f.toString().endsWith(".safetensors"))
                    .forEach(this::load);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void load(Path path) {
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            for (String name : file.names()) {
                float[] values = new float[(int) file.tensor(name).elements()];
                file.readFloats(name, MemorySegment.ofArray(values));
                double[] widened = new double[values.length];
                for (int i = 0; i < values.length; i++) {
                    widened[i] = values[i];
                }
                weights.put(name, widened);
            }
        }
    }

    /** Runs the model over a whole sequence. */
    public Trace run(int[] tokens) {
        return run(tokens, Reads.DENSE);
    }

    /** Runs the model over a whole sequence, some reads of which deviate. */
    public Trace run(int[] tokens, Reads reads) {
        Trace trace = Trace.empty(config.layers());
        for (int position = 0; position < tokens.length; position++) {
            double[] hidden = row("model.embed_tokens.weight", tokens[position], config.hidden());
            for (int layer = 0; layer < config.layers(); layer++) {
                String prefix = "model.layers." + layer + ".";
                add(hidden, attention(trace, reads, layer, position, norm(hidden, prefix + "input_layernorm.weight")));
                add(hidden, mlp(prefix + "mlp.", norm(hidden, prefix + "post_attention_layernorm.weight")));
            }
            String head = config.tiedHead() ? "model.embed_tokens.weight" : "lm_head.weight";
            trace.logits.add(multiply(weights.get(head), norm(hidden, "model.norm.weight")));
        }
        return trace;
    }

    private double[] attention(Trace trace, Reads reads, int layer, int position, double[] input) {
        String prefix = "model.layers." + layer + ".self_attn.";
        int d = config.dHead();
        double[] query = project(prefix + "q_proj", input);
        double[] key = project(prefix + "k_proj", input);
        trace.keyProjection.get(layer).add(key.clone());
        if (config.queryKeyNorm()) {
            query = normHeads(query, prefix + "q_norm.weight");
            key = normHeads(key, prefix + "k_norm.weight");
        }
        trace.keysBeforeRope.get(layer).add(key.clone());
        rotate(query, position);
        rotate(key, position);
        trace.keysAfterRope.get(layer).add(key);
        trace.values.get(layer).add(project(prefix + "v_proj", input));

        double[] mixed = new double[config.heads() * d];
        int window = config.slidingWindows().get(layer);
        int first = window == 0 ? 0 : Math.max(0, position - window + 1);
        for (int head = 0; head < config.heads(); head++) {
            int kvHead = head / (config.heads() / config.kvHeads());
            double[] scores = new double[position + 1 - first];
            double largest = Double.NEGATIVE_INFINITY;
            for (int t = first; t <= position; t++) {
                double[] seen = key(trace, reads, layer, position, t);
                double score = 0;
                for (int i = 0; i < d; i++) {
                    score += query[head * d + i] * seen[kvHead * d + i];
                }
                scores[t - first] = score / Math.sqrt(d);
                largest = Math.max(largest, scores[t - first]);
            }
            double sum = 0;
            for (int i = 0; i < scores.length; i++) {
                scores[i] = Math.exp(scores[i] - largest);
                sum += scores[i];
            }
            for (int t = first; t <= position; t++) {
                double[] seen = value(trace, reads, layer, position, t);
                for (int i = 0; i < d; i++) {
                    mixed[head * d + i] += scores[t - first] / sum * seen[kvHead * d + i];
                }
            }
        }
        return project(prefix + "o_proj", mixed);
    }

    private double[] key(Trace trace, Reads reads, int layer, int query, int token) {
        double[] dense = trace.keysAfterRope.get(layer).get(token);
        if (!reads.far.test(query, token)) {
            return dense;
        }
        boolean before = reads.keys == RopeStage.PRE;
        double[] key = deviating(
                before ? trace.keysBeforeRope.get(layer).get(token) : dense, reads, layer, VectorKind.KEY, token);
        if (before) {
            rotate(key, token);
        }
        return key;
    }

    private double[] value(Trace trace, Reads reads, int layer, int query, int token) {
        double[] dense = trace.values.get(layer).get(token);
        return reads.far.test(query, token) ? deviating(dense, reads, layer, VectorKind.VALUE, token) : dense;
    }

    private static double[] deviating(double[] dense, Reads reads, int layer, VectorKind kind, int token) {
        double[] vector = dense.clone();
        for (int i = 0; i < vector.length; i++) {
            vector[i] += reads.deviation.of(layer, kind, token, i);
        }
        return vector;
    }

    private double[] mlp(String prefix, double[] input) {
        double[] gate = project(prefix + "gate_proj", input);
        double[] up = project(prefix + "up_proj", input);
        for (int i = 0; i < gate.length; i++) {
            gate[i] = gate[i] / (1 + Math.exp(-gate[i])) * up[i];
        }
        return project(prefix + "down_proj", gate);
    }

    /** Rotate-half RoPE of every head in place. */
    private void rotate(double[] vectors, int position) {
        int d = config.dHead();
        for (int head = 0; head < vectors.length / d; head++) {
            for (int i = 0; i < d / 2; i++) {
                double angle = position * inverseFrequency(i);
                double a = vectors[head * d + i];
                double b = vectors[head * d + d / 2 + i];
                vectors[head * d + i] = a * Math.cos(angle) - b * Math.sin(angle);
                vectors[head * d + d / 2 + i] = b * Math.cos(angle) + a * Math.sin(angle);
            }
        }
    }

    private double inverseFrequency(int pair) {
        double frequency = Math.pow(config.ropeTheta(), -2.0 * pair / config.dHead());
        double scaled = switch (config.ropeScaling()) {
            case RopeScaling.None none -> frequency;
            case RopeScaling.Linear linear -> frequency / linear.factor();
            case RopeScaling.Llama3 s -> {
                double turns = s.originalPositions() * frequency / (2 * Math.PI);
                double kept = Math.clamp(
                        (turns - s.lowFrequencyFactor()) / (s.highFrequencyFactor() - s.lowFrequencyFactor()),
                        0.0,
                        1.0);
                yield kept * frequency + (1 - kept) * frequency / s.factor();
            }
        };
        return config.rotaryPrecision() == DType.F32
                ? scaled
                : config.rotaryPrecision().round((float) scaled);
    }

    private double[] normHeads(double[] vectors, String weight) {
        int d = config.dHead();
        double[] result = new double[vectors.length];
        for (int from = 0; from < vectors.length; from += d) {
            double[] normed = norm(Arrays.copyOfRange(vectors, from, from + d), weight);
            System.arraycopy(normed, 0, result, from, d);
        }
        return result;
    }

    private double[] norm(double[] x, String weight) {
        double sum = 0;
        for (double value : x) {
            sum += value * value;
        }
        double scale = 1 / Math.sqrt(sum / x.length + config.rmsNormEps());
        double[] result = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            result[i] = x[i] * scale * weights.get(weight)[i];
        }
        return result;
    }

    private double[] project(String name, double[] input) {
        double[] result = multiply(weights.get(name + ".weight"), input);
        double[] bias = weights.get(name + ".bias");
        if (bias != null) {
            add(result, bias);
        }
        return result;
    }

    private static double[] multiply(double[] matrix, double[] x) {
        double[] result = new double[matrix.length / x.length];
        for (int row = 0; row < result.length; row++) {
            for (int i = 0; i < x.length; i++) {
                result[row] += matrix[row * x.length + i] * x[i];
            }
        }
        return result;
    }

    private double[] row(String name, int row, int width) {
        return Arrays.copyOfRange(weights.get(name), row * width, (row + 1) * width);
    }

    private static void add(double[] target, double[] values) {
        for (int i = 0; i < target.length; i++) {
            target[i] += values[i];
        }
    }
}
