package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.Float16Codec;
import io.sparrowkv.codec.RotatedCodec;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.encode.ScalarPursuit;
import io.sparrowkv.encode.ScalarTopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Attention as it is defined, in fp64 and without a cache: for each query, softmax over every token it may see, where the tokens
 * that it reads as codes are replaced by what their codes stand for. The oracle that {@link SparseCache} is tested and measured
 * against, written to be read.
 */
public final class DecodedAttention {
    private final AttentionShape shape;
    private final CacheOptions options;
    private final Optional<DictionarySet> dictionaries;
    private final Map<VectorKind, VectorCodec> codecs;
    private final double[] inverseFrequencies;

    /**
     * @param options window, sinks and budgets; the other fields are of no meaning here
     * @param inverseFrequencies of the rotary embedding, {@code [dHead / 2]}
     */
    public DecodedAttention(
            AttentionShape shape, CacheOptions options, DictionarySet dictionaries, float[] inverseFrequencies) {
        this(shape, options, Optional.of(dictionaries), Map.of(), inverseFrequencies);
    }

    /**
     * Of a cache whose old tokens are quantized.
     *
     * @param options window and sinks; the other fields are of no meaning here
     * @param keys what quantizes keys
     * @param values what quantizes values
     */
    public DecodedAttention(AttentionShape shape, CacheOptions options, VectorCodec keys, VectorCodec values) {
        this(shape, options, Optional.empty(), Map.of(VectorKind.KEY, keys, VectorKind.VALUE, values), new float[0]);
    }

    /** Of a cache whose old keys and values are quantized alike. */
    public DecodedAttention(AttentionShape shape, CacheOptions options, VectorCodec codec) {
        this(shape, options, codec, codec);
    }

    private DecodedAttention(
            AttentionShape shape,
            CacheOptions options,
            Optional<DictionarySet> dictionaries,
            Map<VectorKind, VectorCodec> codecs,
            float[] inverseFrequencies) {
        this.shape = shape;
        this.options = options;
        this.dictionaries = dictionaries;
        this.codecs = codecs;
        this.inverseFrequencies = new double[inverseFrequencies.length];
        for (int i = 0; i < inverseFrequencies.length; i++) {
            this.inverseFrequencies[i] = inverseFrequencies[i];
        }
    }

    /**
     * Attention of a whole sequence.
     *
     * @param queries {@code [tokens, heads, dHead]}, after RoPE
     * @param keys {@code [tokens, kvHeads, dHead]}, after RoPE
     * @param values {@code [tokens, kvHeads, dHead]}
     * @return {@code [tokens, heads, dHead]}
     */
    public double[] attend(int layer, float[] queries, float[] keys, float[] values, int tokens) {
        double[] decodedKeys = kept(layer, VectorKind.KEY, keys, tokens);
        double[] decodedValues = kept(layer, VectorKind.VALUE, values, tokens);
        int dHead = shape.dHead();
        double[] output = new double[tokens * shape.heads() * dHead];
        for (int p = 0; p < tokens; p++) {
            for (int head = 0; head < shape.heads(); head++) {
                int kvHead = head / shape.group();
                double[] weights = new double[p + 1];
                double largest = Double.NEGATIVE_INFINITY;
                for (int t = 0; t <= p; t++) {
                    weights[t] = Double.NEGATIVE_INFINITY;
                    if (sees(layer, p, t)) {
                        double dot = 0;
                        for (int d = 0; d < dHead; d++) {
                            int at = (t * shape.kvHeads() + kvHead) * dHead + d;
                            double k = readsCode(p, t) ? decodedKeys[at] : keys[at];
                            dot += queries[(p * shape.heads() + head) * dHead + d] * k;
                        }
                        weights[t] = dot * shape.scale();
                    }
                    largest = Math.max(largest, weights[t]);
                }
                double sum = 0;
                for (int t = 0; t <= p; t++) {
                    weights[t] = Math.exp(weights[t] - largest);
                    sum += weights[t];
                }
                for (int t = 0; t <= p; t++) {
                    for (int d = 0; d < dHead; d++) {
                        int at = (t * shape.kvHeads() + kvHead) * dHead + d;
                        double v = readsCode(p, t) ? decodedValues[at] : values[at];
                        output[(p * shape.heads() + head) * dHead + d] += weights[t] / sum * v;
                    }
                }
            }
        }
        return output;
    }

    private boolean sees(int layer, int p, int t) {
        int sliding = shape.slidingWindows().get(layer);
        return sliding == 0 || p - t < sliding;
    }

    private boolean readsCode(int p, int t) {
        if (t < options.sinks()) {
            return false;
        }
        if (options.window() == 0) {
            return true;
        }
        int blockEnd = options.sinks() + ((t - options.sinks()) / CodeBlockLayout.TOKENS + 1) * CodeBlockLayout.TOKENS;
        return blockEnd <= p + 1 - options.window();
    }

    private double[] kept(int layer, VectorKind kind, float[] vectors, int tokens) {
        return codecs.isEmpty() ? decode(layer, kind, vectors, tokens) : roundTrip(codecs.get(kind), vectors);
    }

    private static double[] roundTrip(VectorCodec codec, float[] vectors) {
        double[] decoded = new double[vectors.length];
        float[] vector = new float[codec.dHead()];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(codec.vectorBytes());
            for (int from = 0; from < vectors.length; from += vector.length) {
                System.arraycopy(vectors, from, vector, 0, vector.length);
                codec.encode(vector, bytes, 0);
                codec.decode(bytes, 0, vector);
                for (int d = 0; d < vector.length; d++) {
                    decoded[from + d] = vector[d];
                }
            }
        }
        return decoded;
    }

    private double[] decode(int layer, VectorKind kind, float[] vectors, int tokens) {
        int dHead = shape.dHead();
        int stored = options.stored().of(layer, kind);
        int read = options.read().of(layer, kind);
        if (stored == Budgets.DENSE) {
            return roundTrip(new Float16Codec(dHead), vectors);
        }
        double[] decoded = new double[vectors.length];
        int token = shape.kvHeads() * dHead;
        int coded = dictionaries.orElseThrow().joint() ? shape.kvHeads() : 1; // heads of a code
        int width = coded * dHead;
        for (int head = 0; head < shape.kvHeads(); head += coded) {
            Dictionary dictionary = dictionaries.orElseThrow().of(layer, kind, head);
            boolean turns = kind == VectorKind.KEY && dictionary.rope() == RopeStage.PRE;
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment rows = arena.allocate((long) tokens * width * Float.BYTES, 64);
                for (int t = 0; t < tokens; t++) {
                    double[] vector = new double[width];
                    for (int d = 0; d < width; d++) {
                        vector[d] = vectors[t * token + head * dHead + d];
                    }
                    if (turns) {
                        turn(vector, t, -1);
                    }
                    for (int d = 0; d < width; d++) {
                        rows.setAtIndex(JAVA_FLOAT, (long) t * width + d, (float) vector[d]);
                    }
                }
                List<ScalarPursuit.Code> codes = codes(dictionary, rows, tokens, stored);
                for (int t = 0; t < tokens; t++) {
                    double[] vector = decode(dictionary, codes.get(t), read);
                    int bits = options.residualBits().of(layer, kind);
                    if (bits > 0 && read == stored) {
                        addResidual(rows, t, vector, bits);
                    }
                    if (turns) {
                        turn(vector, t, 1);
                    }
                    System.arraycopy(vector, 0, decoded, t * token + head * dHead, width);
                }
            }
        }
        return decoded;
    }

    /** Adds what a quantizer keeps of a vector less what its code stands for. */
    private void addResidual(MemorySegment rows, int row, double[] decoded, int bits) {
        float[] residual = new float[decoded.length];
        for (int d = 0; d < residual.length; d++) {
            residual[d] = (float) (rows.getAtIndex(JAVA_FLOAT, (long) row * residual.length + d) - decoded[d]);
        }
        double[] kept = roundTrip(new RotatedCodec(residual.length, bits), residual);
        for (int d = 0; d < residual.length; d++) {
            decoded[d] += kept[d];
        }
    }

    private List<ScalarPursuit.Code> codes(Dictionary dictionary, MemorySegment rows, int tokens, int stored) {
        Refinement refinement = options.refinement();
        int looked = refinement.candidatesFor(stored, dictionary.latents());
        List<ScalarPursuit.Code> result = new ArrayList<>();
        try (CodeBatch codes = CodeBatch.allocate(tokens, looked);
                ScalarTopKEncoder encoder = new ScalarTopKEncoder(dictionary)) {
            encoder.encode(rows, tokens, looked, codes);
            for (int t = 0; t < tokens; t++) {
                List<Integer> atoms = new ArrayList<>();
                double[] coefficients = new double[codes.count(t)];
                for (int k = 0; k < codes.count(t); k++) {
                    atoms.add(codes.index(t, k));
                    coefficients[k] = codes.coefficient(t, k);
                }
                result.add(
                        refinement.kind() == Refinement.Kind.NONE
                                ? new ScalarPursuit.Code(atoms, coefficients)
                                : new ScalarPursuit(dictionary, options.coefficients(), refinement)
                                        .code(rows, t, atoms, stored));
            }
        }
        return result;
    }

    private double[] decode(Dictionary dictionary, ScalarPursuit.Code code, int read) {
        double[] vector = new double[dictionary.dHead()];
        float[] kept = new float[code.coefficients().length];
        for (int k = 0; k < kept.length; k++) {
            kept[k] = (float) code.coefficients()[k];
        }
        options.coefficients().round(kept);
        for (int d = 0; d < vector.length; d++) {
            vector[d] = dictionary.decoderBias().getAtIndex(JAVA_FLOAT, d);
            for (int k = 0; k < Math.min(read, code.atoms().size()); k++) {
                long atom = (long) code.atoms().get(k) * vector.length + d;
                vector[d] += kept[k] * (double) dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, atom);
            }
        }
        return vector;
    }

    /** Turns the keys of some heads, side by side. */
    private void turn(double[] vectors, int position, int direction) {
        int half = inverseFrequencies.length;
        for (int head = 0; head < vectors.length; head += shape.dHead()) {
            for (int i = head; i < head + half; i++) {
                double angle = (float) position * (float) inverseFrequencies[i - head];
                double cos = Math.cos(angle);
                double sin = direction * Math.sin(angle);
                double x = vectors[i];
                double y = vectors[i + half];
                vectors[i] = x * cos - y * sin;
                vectors[i + half] = y * cos + x * sin;
            }
        }
    }
}
