package io.sparrowkv.attention;

import static io.sparrowkv.attention.LaneKernels.FLOATS;
import static io.sparrowkv.attention.LaneKernels.INTS;
import static io.sparrowkv.attention.LaneKernels.LANES;
import static io.sparrowkv.attention.LaneKernels.ROW_BYTES;
import static io.sparrowkv.attention.LaneKernels.load;
import static io.sparrowkv.attention.LaneKernels.store;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link LaneKernels#LANES} queries on their way through the cache: their scaled vectors, what each may see, and the running
 * softmax (Milakov and Gimelshein, arXiv 1805.02867) with its weighted sums.
 */
final class Panel {
    /** The reference maximum moves only when a score exceeds it by this much, so that the sums are rarely rescaled: e^8 fits well. */
    private static final float SLACK = 8f;

    /** Reference maximum of lanes that have seen nothing; finite, so that −∞ minus it is −∞. */
    private static final float NOTHING = -1e30f;

    private static final long MAXIMUM = 0;
    private static final long SUM = ROW_BYTES;
    private static final long CODED_SUM = 2 * ROW_BYTES;
    private static final long FACTOR = 3 * ROW_BYTES;
    /** Offset in {@link #state} of q · b_dec, what the bias of the key dictionary adds to each score. */
    static final long BIAS = 4 * ROW_BYTES;

    private static final long STATE_BYTES = 5 * ROW_BYTES;

    private final int dHead;
    private final int latents;
    /** {@code [dHead, LANES]}, times the scale. */
    final MemorySegment queries;
    /** Weighted sums of values, {@code [dHead, LANES]}. */
    final MemorySegment sums;
    /** q · atom, {@code [latents, LANES]}. */
    final MemorySegment latentQueries;
    /** Weighted sums of coefficients, {@code [latents, LANES]}. */
    final MemorySegment latentSums;

    final MemorySegment state;
    private final int[] seenFrom = new int[LANES];
    private final int[] codedFrom = new int[LANES];
    private final int[] codedTo = new int[LANES];
    private final int[] seenTo = new int[LANES];
    private final int[] lane = new int[LANES];

    @SuppressWarnings({"unchecked", "rawtypes"})
    private final VectorMask<Float>[] masks = new VectorMask[LANES];

    int firstHead;
    int heads;
    /** The first token that any lane sees, and the end of those that any reads as codes. */
    int leastSeen;

    int mostCoded;

    private boolean rescalesLatents;

    Panel(Arena arena, int dHead, int latents) {
        this.dHead = dHead;
        this.latents = latents;
        queries = arena.allocate(dHead * ROW_BYTES, 64);
        sums = arena.allocate(dHead * ROW_BYTES, 64);
        latentQueries = arena.allocate(latents * ROW_BYTES, 64);
        latentSums = arena.allocate(latents * ROW_BYTES, 64);
        state = arena.allocate(STATE_BYTES, 64);
    }

    /** Takes the queries of panel {@code index} of a call. */
    void begin(AttentionCall call, int index) {
        AttentionShape shape = call.shape;
        firstHead = call.head(index * LANES);
        heads = call.head(index * LANES + LANES - 1) - firstHead + 1;
        leastSeen = Integer.MAX_VALUE;
        mostCoded = 0;
        int headStart = 0;
        for (int i = 0; i < LANES; i++) {
            int global = index * LANES + i;
            int head = call.head(global);
            int inHead = call.laneInHead(global);
            int real = Math.min(inHead, call.lanesPerHead - 1);
            int token = real / shape.group();
            int query = token * shape.heads() + head * shape.group() + real % shape.group();
            lane[i] = inHead == real ? query : -1;
            for (int d = 0; d < dHead; d++) {
                float q = call.queries.getAtIndex(JAVA_FLOAT, (long) query * dHead + d);
                queries.setAtIndex(JAVA_FLOAT, (long) d * LANES + i, q * shape.scale());
            }
            int position = call.start + token;
            seenTo[i] = position + 1;
            seenFrom[i] =
                    call.slidingWindow == AttentionShape.UNLIMITED ? 0 : Math.max(0, position + 1 - call.slidingWindow);
            codedTo[i] = call.sinks + AttentionCall.coded(position, call.window, call.sinks, CodeBlockLayout.TOKENS);
            codedFrom[i] = Math.max(seenFrom[i], codedTo[i]);
            leastSeen = Math.min(leastSeen, seenFrom[i]);
            mostCoded = Math.max(mostCoded, codedTo[i]);
            if (i == LANES - 1 || call.head(global + 1) != head) {
                long bits = (-1L >>> (Long.SIZE - (i + 1 - headStart))) << headStart;
                masks[head - firstHead] = VectorMask.fromLong(FLOATS, bits);
                headStart = i + 1;
            }
        }
        sums.fill((byte) 0);
        store(FloatVector.broadcast(FLOATS, NOTHING), state, MAXIMUM);
        store(FloatVector.zero(FLOATS), state, SUM);
        store(FloatVector.zero(FLOATS), state, CODED_SUM);
        rescalesLatents = false;
    }

    /** The lanes of the panel's n-th head. */
    VectorMask<Float> mask(int n) {
        return masks[n];
    }

    /** Whether any lane reads a code. */
    boolean readsCodes(int sinks) {
        return mostCoded > Math.max(sinks, leastSeen);
    }

    /** Clears the sums over latents before the first code is read. */
    void beginCodes(int latentsUsed) {
        latentSums.asSlice(0, latentsUsed * ROW_BYTES).fill((byte) 0);
        rescalesLatents = true;
    }

    /** Turns the scores of sinks from {@code token} on into weights. */
    void weighSinks(MemorySegment scores, int token, int count) {
        weigh(scores, token, count, seenFrom, seenTo, false);
    }

    /** Turns the scores of tail tokens, dense for the lanes that do not read them as codes, into weights. */
    void weighTail(MemorySegment scores, int token, int count) {
        weigh(scores, token, count, codedFrom, seenTo, false);
    }

    /** Turns the scores of coded tokens into weights. */
    void weighCodes(MemorySegment scores, int token, int count) {
        weigh(scores, token, count, seenFrom, codedTo, true);
    }

    /** Whether any lane reads one of {@code count} tail tokens from {@code token} on as dense. */
    boolean readsTail(int token, int count) {
        boolean reads = false;
        for (int i = 0; i < LANES; i++) {
            reads |= token < seenTo[i] && token + count > codedFrom[i];
        }
        return reads;
    }

    /** Adds the bias of the coded values, divides by the sums of weights and writes each lane's output. */
    void finish(AttentionCall call, MemorySegment valueBias) {
        FloatVector codedSum = load(state, CODED_SUM);
        FloatVector normalizer = FloatVector.broadcast(FLOATS, 1f).div(load(state, SUM));
        for (int d = 0; d < dHead; d++) {
            float bias = valueBias.getAtIndex(JAVA_FLOAT, d);
            store(
                    codedSum.fma(FloatVector.broadcast(FLOATS, bias), load(sums, d * ROW_BYTES))
                            .mul(normalizer),
                    sums,
                    d * ROW_BYTES);
        }
        for (int i = 0; i < LANES; i++) {
            if (lane[i] >= 0) {
                for (int d = 0; d < dHead; d++) {
                    float x = sums.getAtIndex(JAVA_FLOAT, (long) d * LANES + i);
                    call.output.setAtIndex(JAVA_FLOAT, (long) lane[i] * dHead + d, x);
                }
            }
        }
    }

    private void weigh(MemorySegment scores, int token, int count, int[] from, int[] to, boolean coded) {
        IntVector first = IntVector.fromArray(INTS, from, 0);
        IntVector end = IntVector.fromArray(INTS, to, 0);
        boolean allSeen = first.compare(VectorOperators.LE, token).allTrue()
                && end.compare(VectorOperators.GE, token + count).allTrue();
        FloatVector maximum = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
        for (int t = 0; t < count; t++) {
            FloatVector score = load(scores, t * ROW_BYTES);
            if (!allSeen) {
                VectorMask<Integer> seen =
                        first.compare(VectorOperators.LE, token + t).and(end.compare(VectorOperators.GT, token + t));
                score = score.blend(Float.NEGATIVE_INFINITY, seen.not().cast(FLOATS));
                store(score, scores, t * ROW_BYTES);
            }
            maximum = maximum.max(score);
        }
        FloatVector reference = load(state, MAXIMUM);
        VectorMask<Float> exceeded = maximum.compare(VectorOperators.GT, reference.add(SLACK));
        if (exceeded.anyTrue()) {
            reference = raise(reference, maximum, exceeded);
        }
        FloatVector sum = FloatVector.zero(FLOATS);
        for (int t = 0; t < count; t++) {
            FloatVector weight = Exponential.of(load(scores, t * ROW_BYTES).sub(reference));
            store(weight, scores, t * ROW_BYTES);
            sum = sum.add(weight);
        }
        store(load(state, SUM).add(sum), state, SUM);
        if (coded) {
            store(load(state, CODED_SUM).add(sum), state, CODED_SUM);
        }
    }

    private FloatVector raise(FloatVector reference, FloatVector maximum, VectorMask<Float> exceeded) {
        FloatVector raised = reference.blend(maximum, exceeded);
        FloatVector factor = FloatVector.broadcast(FLOATS, 1f).blend(Exponential.of(reference.sub(raised)), exceeded);
        store(raised, state, MAXIMUM);
        store(factor, state, FACTOR);
        store(load(state, SUM).mul(factor), state, SUM);
        store(load(state, CODED_SUM).mul(factor), state, CODED_SUM);
        LaneKernels.scale(sums, dHead, state, FACTOR);
        if (rescalesLatents) {
            LaneKernels.scale(latentSums, latents, state, FACTOR);
        }
        return raised;
    }
}
