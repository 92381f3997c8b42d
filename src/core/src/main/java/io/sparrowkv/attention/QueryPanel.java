package io.sparrowkv.attention;

import static io.sparrowkv.attention.Lanes.FLOATS;
import static io.sparrowkv.attention.Lanes.INTS;
import static io.sparrowkv.attention.Lanes.LANES;

import io.sparrowkv.codec.CodeBlockLayout;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * Some queries of one KV head on their way through the cache: what each may see, and the running softmax (Milakov and Gimelshein,
 * arXiv 1805.02867). Scores are {@code [tokens, width]}: a query is a column. A panel narrower than a vector has the scores of
 * several tokens in each vector; what it keeps by column is then repeated up to the vector's length.
 */
final class QueryPanel {
    /** The reference maximum moves only when a score exceeds it by this much, so that the sums are rarely rescaled: e^8 fits well. */
    private static final float SLACK = 8f;

    /** Reference maximum of columns that have seen nothing; finite, so that −∞ minus it is −∞. */
    private static final float NOTHING = -1e30f;

    private final int width;
    /** Floats of each array by column: the width, but at least a vector. */
    private final int period;

    private final int tokensPerVector;
    private final int[] query;
    private final int[] seenFrom;
    private final int[] codedFrom;
    private final int[] codedTo;
    private final int[] seenTo;
    private final float[] references;
    private final float[] sums;
    private final float[] codedSums;
    private final float[] factors;
    private final float[] maxima = new float[LANES];

    private int used;
    private int leastSeen;
    private int mostSeen;
    private int leastCoded;
    private int mostCoded;

    /** @param width queries: a multiple of a vector's floats, or a divisor of them */
    QueryPanel(int width) {
        if (Math.max(width, LANES) % Math.min(width, LANES) != 0) {
            throw new IllegalArgumentException("width " + width + " and vectors of " + LANES);
        }
        this.width = width;
        period = Math.max(width, LANES);
        tokensPerVector = period / width;
        query = new int[width];
        seenFrom = new int[period];
        codedFrom = new int[period];
        codedTo = new int[period];
        seenTo = new int[period];
        references = new float[period];
        sums = new float[period];
        codedSums = new float[period];
        factors = new float[period];
    }

    /**
     * Takes queries of a KV head: those of its group, token by token, from the {@code first} on. Columns past the last one see what it
     * sees.
     */
    void begin(AttentionCall call, int head, int first) {
        AttentionShape shape = call.shape;
        used = Math.min(width, call.queriesPerHead - first);
        leastSeen = Integer.MAX_VALUE;
        leastCoded = Integer.MAX_VALUE;
        mostCoded = 0;
        for (int i = 0; i < period; i++) {
            int column = Math.min(i % width, used - 1);
            int token = (first + column) / shape.group();
            int position = call.start + token;
            if (i < width) {
                query[i] = token * shape.heads() + head * shape.group() + (first + column) % shape.group();
            }
            seenTo[i] = position + 1;
            seenFrom[i] =
                    call.slidingWindow == AttentionShape.UNLIMITED ? 0 : Math.max(0, position + 1 - call.slidingWindow);
            codedTo[i] = call.sinks + AttentionCall.coded(position, call.window, call.sinks, CodeBlockLayout.TOKENS);
            codedFrom[i] = Math.max(seenFrom[i], codedTo[i]);
            leastSeen = Math.min(leastSeen, seenFrom[i]);
            leastCoded = Math.min(leastCoded, codedFrom[i]);
            mostCoded = Math.max(mostCoded, codedTo[i]);
            mostSeen = seenTo[i]; // tokens follow each other
        }
        Arrays.fill(references, NOTHING);
        Arrays.fill(sums, 0f);
        Arrays.fill(codedSums, 0f);
    }

    /** Columns that hold queries: the first ones. */
    int used() {
        return used;
    }

    /** Which query vector of the chunk, {@code [tokens, heads]}, a column holds. */
    int query(int column) {
        return query[column];
    }

    /** The first block that any column reads. */
    int firstBlock(int sinks) {
        return Math.max(0, leastSeen - sinks) / CodeBlockLayout.TOKENS;
    }

    /** The block after the last one that any column reads, at most {@link #firstBlock} when none reads codes. */
    int endBlock(int sinks) {
        return Math.ceilDiv(mostCoded - sinks, CodeBlockLayout.TOKENS);
    }

    /** Tokens of a block, of which the last may not be full, that some column reads; may be negative. */
    int tokensOfBlock(int block, int sinks) {
        return Math.min(CodeBlockLayout.TOKENS, mostCoded - sinks - block * CodeBlockLayout.TOKENS);
    }

    /** Whether any column reads one of {@code count} tail tokens from {@code token} on dense. */
    boolean readsTail(int token, int count) {
        return token < mostSeen && token + count > leastCoded;
    }

    /**
     * Turns the scores of sinks from {@code token} on into weights. Rows past the last token, up to a whole vector, get weights of 0.
     *
     * @param scores {@code [tokens, width]} from {@code at} on, with room for whole vectors
     * @return whether all sums so far must be multiplied by {@link #factors}, before these weights are used
     */
    boolean weighSinks(float[] scores, int at, int token, int count) {
        return weigh(scores, at, token, count, seenFrom, seenTo, false);
    }

    /** As {@link #weighSinks}, for tail tokens: dense for the columns that do not read them as codes. */
    boolean weighTail(float[] scores, int at, int token, int count) {
        return weigh(scores, at, token, count, codedFrom, seenTo, false);
    }

    /** As {@link #weighSinks}, for coded tokens. */
    boolean weighCodes(float[] scores, int at, int token, int count) {
        return weigh(scores, at, token, count, seenFrom, codedTo, true);
    }

    /** By column, repeated up to a whole vector: what sums over earlier tokens are to be multiplied by. */
    float[] factors() {
        return factors;
    }

    /** The score that a column's sums are relative to. */
    float reference(int column) {
        return references[column];
    }

    /** Sum of a column's weights. */
    float sum(int column) {
        return total(sums, column);
    }

    /** Sum of a column's weights of coded tokens. */
    float codedSum(int column) {
        return total(codedSums, column);
    }

    private float total(float[] parts, int column) {
        float total = 0;
        for (int i = column; i < period; i += width) {
            total += parts[i];
        }
        return total;
    }

    private boolean weigh(float[] scores, int at, int token, int count, int[] from, int[] to, boolean coded) {
        boolean rescale = false;
        for (int column = 0; column < period; column += LANES) {
            rescale |= weigh(scores, at + column, token, count, from, to, column, coded, rescale);
        }
        return rescale;
    }

    /** Weighs one vector's columns; {@code rescale} tells whether the factors of others have been set. */
    private boolean weigh(
            float[] scores,
            int at,
            int token,
            int count,
            int[] from,
            int[] to,
            int column,
            boolean coded,
            boolean rescale) {
        IntVector first = IntVector.fromArray(INTS, from, column);
        IntVector end = IntVector.fromArray(INTS, to, column).min(token + count);
        int rows = Math.ceilDiv(count, tokensPerVector);
        FloatVector maximum = Lanes.broadcast(Float.NEGATIVE_INFINITY);
        if (first.reduceLanes(VectorOperators.MAX) <= token
                && end.reduceLanes(VectorOperators.MIN) >= token + rows * tokensPerVector) {
            for (int row = 0; row < rows; row++) {
                maximum = maximum.max(FloatVector.fromArray(FLOATS, scores, at + row * period));
            }
        } else {
            IntVector tokens = laneTokens().add(token);
            for (int row = 0; row < rows; row++) {
                VectorMask<Integer> hidden =
                        first.compare(VectorOperators.GT, tokens).or(end.compare(VectorOperators.LE, tokens));
                FloatVector score = FloatVector.fromArray(FLOATS, scores, at + row * period)
                        .blend(Float.NEGATIVE_INFINITY, hidden.cast(FLOATS));
                score.intoArray(scores, at + row * period);
                maximum = maximum.max(score);
                tokens = tokens.add(tokensPerVector);
            }
        }
        boolean raised = maximum.compare(
                        VectorOperators.GT,
                        FloatVector.fromArray(FLOATS, references, column).add(SLACK))
                .anyTrue();
        if (raised) {
            raise(maximum, column, rescale);
        }
        FloatVector reference = FloatVector.fromArray(FLOATS, references, column);
        FloatVector sum = FloatVector.zero(FLOATS);
        for (int row = 0; row < rows; row++) {
            FloatVector weight = Exponential.of(
                    FloatVector.fromArray(FLOATS, scores, at + row * period).sub(reference));
            weight.intoArray(scores, at + row * period);
            sum = sum.add(weight);
        }
        FloatVector.fromArray(FLOATS, sums, column).add(sum).intoArray(sums, column);
        if (coded) {
            FloatVector.fromArray(FLOATS, codedSums, column).add(sum).intoArray(codedSums, column);
        }
        return raised;
    }

    /** By lane, how many tokens it is behind the first lane. */
    private IntVector laneTokens() {
        return tokensPerVector == 1
                ? IntVector.zero(INTS)
                : IntVector.zero(INTS).addIndex(1).lanewise(VectorOperators.LSHR, Integer.numberOfTrailingZeros(width));
    }

    private void raise(FloatVector maximum, int column, boolean rescale) {
        if (!rescale) {
            Arrays.fill(factors, 1f);
        }
        maximum.intoArray(maxima, 0);
        for (int lane = 0; lane < LANES; lane++) {
            float largest = Float.NEGATIVE_INFINITY;
            for (int i = lane % width; i < LANES; i += width) {
                largest = Math.max(largest, maxima[i]);
            }
            int i = column + lane;
            if (largest > references[i] + SLACK) {
                factors[i] = (float) Math.exp(references[i] - largest);
                references[i] = largest;
                sums[i] *= factors[i];
                codedSums[i] *= factors[i];
            }
        }
    }
}
