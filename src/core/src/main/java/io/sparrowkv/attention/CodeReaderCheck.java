package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** What a {@link CodeReader} is defined to compute, in fp64, from the same blocks: what readers are tested against. */
public final class CodeReaderCheck {
    /** Largest difference from the definition, relative to the largest number of a result. */
    public static final double TOLERANCE = 1e-4;

    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private final CodedLayer layer;
    private final List<MemorySegment> keys;
    private final List<MemorySegment> values;

    /**
     * @param keys the blocks of keys, by their numbers
     * @param values the blocks of values, by their numbers
     */
    public CodeReaderCheck(CodedLayer layer, List<MemorySegment> keys, List<MemorySegment> values) {
        this.layer = layer;
        this.keys = keys;
        this.values = values;
    }

    /** The vectors of a block, {@code [kvHeads, TOKENS, dHead]}. */
    public double[] decode(VectorKind kind, int block, int read) {
        int dHead = layer.shape().dHead();
        double[] vectors = new double[layer.shape().kvHeads() * TOKENS * dHead];
        for (int head = 0; head < layer.shape().kvHeads(); head++) {
            for (int token = 0; token < TOKENS; token++) {
                double[] vector = decode(kind, head, block * TOKENS + token, read);
                System.arraycopy(vector, 0, vectors, (head * TOKENS + token) * dHead, dHead);
            }
        }
        return vectors;
    }

    /** Attention's output where the coded tokens are all that is seen, {@code [heads, dHead]}. */
    public double[] attend(MemorySegment queries, int firstToken, int endToken, int readKey, int readValue) {
        AttentionShape shape = layer.shape();
        int dHead = shape.dHead();
        double[] output = new double[shape.heads() * dHead];
        for (int head = 0; head < shape.heads(); head++) {
            double[] weights = new double[endToken - firstToken];
            double largest = Double.NEGATIVE_INFINITY;
            for (int i = 0; i < weights.length; i++) {
                double[] key = decode(VectorKind.KEY, head / shape.group(), firstToken + i, readKey);
                for (int d = 0; d < dHead; d++) {
                    weights[i] += key[d] * queries.getAtIndex(JAVA_FLOAT, (long) head * dHead + d) * shape.scale();
                }
                largest = Math.max(largest, weights[i]);
            }
            double total = 0;
            for (int i = 0; i < weights.length; i++) {
                weights[i] = Math.exp(weights[i] - largest);
                total += weights[i];
            }
            for (int i = 0; i < weights.length; i++) {
                double[] value = decode(VectorKind.VALUE, head / shape.group(), firstToken + i, readValue);
                for (int d = 0; d < dHead; d++) {
                    output[head * dHead + d] += weights[i] / total * value[d];
                }
            }
        }
        return output;
    }

    /** The largest difference of a result from what it is defined to be, relative to the largest number of the definition. */
    public static double difference(double[] expected, MemorySegment found) {
        double scale = Double.MIN_NORMAL;
        double largest = 0;
        for (int i = 0; i < expected.length; i++) {
            double difference = Math.abs(expected[i] - found.getAtIndex(JAVA_FLOAT, i));
            // A result that is not a number differs infinitely.
            largest = Math.max(largest, difference >= 0 ? difference : Double.POSITIVE_INFINITY);
            scale = Math.max(scale, Math.abs(expected[i]));
        }
        return largest / scale;
    }

    private double[] decode(VectorKind kind, int head, int token, int read) {
        boolean ofKeys = kind == VectorKind.KEY;
        List<Dictionary> dictionaries = ofKeys ? layer.keys() : layer.values();
        Dictionary dictionary = dictionaries.get(dictionaries.size() == 1 ? 0 : head);
        CodeBlockLayout layout = ofKeys ? layer.keyLayout() : layer.valueLayout();
        MemorySegment body = (ofKeys ? keys : values).get(token / TOKENS);
        double[] vector = new double[layout.dHead()];
        for (int d = 0; d < vector.length; d++) {
            vector[d] = dictionary.decoderBias().getAtIndex(JAVA_FLOAT, d);
        }
        for (int pair = 0; pair < read; pair++) {
            double coefficient = layout.coefficient(body, head, token % TOKENS, pair);
            long atom = (long) layout.index(body, head, token % TOKENS, pair) * vector.length;
            for (int d = 0; d < vector.length; d++) {
                vector[d] += coefficient * dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, atom + d);
            }
        }
        return vector;
    }
}
