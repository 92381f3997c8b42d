package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Attention of a few queries, as in generating a token: codes are used as they are. With z = W_dec · q, computed once, the score of a key
 * coded after RoPE is Σ c_k z[index_k] + q · b_dec; keys coded before RoPE are scored by {@link RotatedScores}. The weights of values are
 * summed by atom, and one product with W_dec ends it. What residuals add is found apart from the codes ({@link HeadResiduals}). Quantized
 * keys and values are decoded a block at a time.
 *
 * <p>A task is some queries of one or several KV heads over a part of their blocks; {@link PartialOutputs} puts the parts together.
 */
final class LatentAttention {
    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private final int dHead;
    private final int width;
    private final LatentKernels kernels;
    private final UnpackedCodes codes;
    private final BlockDecoder decoder;
    private final RotatedScores rotated;
    private final Head[] heads;
    /** q · atom, fp32 {@code [latents, width]}. */
    private final MemorySegment latentQueries;

    /** {@code [TOKENS, width]}. */
    private final float[] scores;
    /** q · b_dec: what the bias of the key dictionary adds to each score; with room for a tile of {@link RowKernels}. */
    private final float[] bias;

    /** The queries of one KV head and what has been found for them. */
    private static final class Head {
        final QueryPanel panel;
        /** fp32 {@code [width, dHead]}, times the scale. */
        final MemorySegment queries;
        /** Weighted sums of values, fp32 {@code [width, dHead]}. */
        final MemorySegment sums;
        /** Weighted sums of coefficients, fp32 {@code [latents, width]}. */
        final MemorySegment latentSums;

        final HeadResiduals residuals;

        Head(Arena arena, int width, int dHead, long latentBytes, HeadResiduals residuals) {
            panel = new QueryPanel(width);
            queries = arena.allocate((long) width * dHead * Float.BYTES, 64);
            sums = arena.allocate((long) width * dHead * Float.BYTES, 64);
            latentSums = arena.allocate(latentBytes, 64);
            this.residuals = residuals;
        }
    }

    LatentAttention(
            Arena arena,
            RotaryEmbedding rotary,
            AttentionShape shape,
            int latents,
            ResidualRows residuals,
            LatentKernels kernels,
            UnpackedCodes codes) {
        this.dHead = shape.dHead();
        this.kernels = kernels;
        this.codes = codes;
        width = kernels.width();
        decoder = new BlockDecoder(arena, rotary, dHead, codes, residuals);
        rotated = new RotatedScores(arena, rotary, dHead, shape.kvHeads(), width, codes);
        // Filled up to a whole tile of rows, and so of vectors.
        long latentBytes = (long) Math.ceilDiv(latents, TOKENS) * TOKENS * width * Float.BYTES;
        heads = new Head[shape.kvHeads()];
        float[] product = new float[TOKENS * width];
        Arrays.setAll(
                heads,
                i -> new Head(
                        arena,
                        width,
                        dHead,
                        latentBytes,
                        new HeadResiduals(arena, rotary, dHead, width, residuals, product)));
        latentQueries = arena.allocate(latentBytes, 64);
        scores = new float[TOKENS * width];
        bias = new float[RowKernels.TILE * width];
    }

    /**
     * Attends for queries of some KV heads.
     *
     * @param keyAtoms the atoms of these heads' keys, when the call rotates keys
     * @param firstHead the first KV head; where there are several, they share the keys' atoms
     * @param first the first query of each head; as many are taken as there are lanes
     * @param part which of {@code parts} equal parts of the blocks; the last one's task reads the dense tokens too
     */
    void run(AttentionCall call, SlicedAtoms keyAtoms, int firstHead, int headCount, int first, int part, int parts) {
        for (int n = 0; n < headCount; n++) {
            Head head = heads[n];
            head.panel.begin(call, firstHead + n, first);
            takeQueries(call, head);
            head.sums.fill((byte) 0);
            head.residuals.begin(call, firstHead + n, head.queries, head.panel.used());
            if (part == parts - 1) {
                attendDense(call, firstHead + n, head);
            }
        }
        // The heads of a token see the same tokens.
        QueryPanel any = heads[0].panel;
        int from = any.firstBlock(call.sinks);
        int blocks = Math.max(0, any.endBlock(call.sinks) - from);
        int begin = from + (int) ((long) blocks * part / parts);
        int end = from + (int) ((long) blocks * (part + 1) / parts);
        if (begin == end) {
            return;
        }
        for (int n = 0; n < headCount; n++) {
            heads[n].latentSums.fill((byte) 0);
        }
        if (call.rotatesKeys && call.keys instanceof CodedSite keys) {
            attendRotated(call, keys, keyAtoms, firstHead, headCount, begin, end);
        } else {
            for (int n = 0; n < headCount; n++) {
                attendLatent(call, firstHead + n, heads[n], begin, end);
            }
        }
        if (call.values instanceof CodedSite values) {
            addProjections(values, firstHead, headCount);
            for (int n = 0; n < headCount; n++) {
                heads[n].residuals.addSums(call, firstHead + n, heads[n].panel.used(), heads[n].sums);
            }
        }
    }

    /** Projects what the heads have summed by atom; those that share their atoms while these are at hand. */
    private void addProjections(CodedSite values, int firstHead, int headCount) {
        int together = values.sharesAtoms() ? headCount : 1;
        for (int n = 0; n < headCount; n += together) {
            Atoms atoms = values.atoms(firstHead + n);
            for (int row = 0; row < atoms.latents(); row += TOKENS) {
                for (int head = n; head < n + together; head++) {
                    projectSums(atoms, row, heads[head]);
                }
            }
            for (int head = n; head < n + together; head++) {
                addBias(atoms, heads[head]);
            }
        }
    }

    /** Hands over what the last run found for its n-th head. */
    void result(int n, PartialOutputs outputs, int slot) {
        outputs.put(slot, heads[n].panel, heads[n].sums);
    }

    private void takeQueries(AttentionCall call, Head head) {
        QueryPanel panel = head.panel;
        for (int column = 0; column < width; column++) {
            long from = (long) panel.query(column) * dHead;
            long to = (long) column * dHead;
            for (int d = 0; d < dHead; d++) {
                float q = column < panel.used() ? call.queries.getAtIndex(JAVA_FLOAT, from + d) : 0;
                head.queries.setAtIndex(JAVA_FLOAT, to + d, q * call.shape.scale());
            }
        }
    }

    private void attendDense(AttentionCall call, int kvHead, Head head) {
        QueryPanel panel = head.panel;
        DenseRun sinks = call.sinkRun;
        for (int t = 0; t < sinks.tokens; t += TOKENS) {
            int count = Math.min(TOKENS, sinks.tokens - t);
            scoreRows(head, sinks.keys, sinks.at(kvHead, t), sinks.tokenStride, count);
            if (panel.weighSinks(scores, 0, sinks.firstToken + t, count)) {
                rescale(head);
            }
            sumRows(head, sinks.values, sinks.at(kvHead, t), sinks.tokenStride, count);
        }
        for (int i = 0; i < call.tailRunCount; i++) {
            DenseRun run = call.tailRuns[i];
            for (int t = 0; t < run.tokens; t += TOKENS) {
                int count = Math.min(TOKENS, run.tokens - t);
                if (panel.readsTail(run.firstToken + t, count)) {
                    scoreRows(head, run.keys, run.at(kvHead, t), run.tokenStride, count);
                    if (panel.weighTail(scores, 0, run.firstToken + t, count)) {
                        rescale(head);
                    }
                    sumRows(head, run.values, run.at(kvHead, t), run.tokenStride, count);
                }
            }
        }
    }

    private void attendLatent(AttentionCall call, int kvHead, Head head, int begin, int end) {
        if (call.keys instanceof CodedSite keys) {
            projectQueries(keys.atoms(kvHead), head);
        }
        for (int block = begin; block < end; block++) {
            int count = head.panel.tokensOfBlock(block, call.sinks);
            if (call.keys instanceof CodedSite keys) {
                keys.unpack(codes, block, kvHead, count, width * Float.BYTES);
                kernels.score(codes, call.readKey, count, bias, latentQueries, scores);
                head.residuals.addScores(call, kvHead, block, count, head.panel.used(), scores, 0);
            } else {
                scoreRows(head, decoder.keys(call, kvHead, block, count), 0, (long) dHead * Float.BYTES, count);
            }
            sumBlock(call, kvHead, head, block, count, scores, 0);
        }
    }

    private void attendRotated(
            AttentionCall call,
            CodedSite keys,
            SlicedAtoms keyAtoms,
            int firstHead,
            int headCount,
            int begin,
            int end) {
        QueryPanel any = heads[0].panel;
        for (int n = 0; n < headCount; n++) {
            rotated.takeQueries(n, heads[n].queries);
        }
        for (int block = begin; block < end; block += rotated.spanBlocks()) {
            int spanEnd = Math.min(end, block + rotated.spanBlocks());
            int tokens = (spanEnd - 1 - block) * TOKENS + any.tokensOfBlock(spanEnd - 1, call.sinks);
            rotated.score(call, keys, keyAtoms, firstHead, headCount, any.used(), block, tokens);
            for (int n = 0; n < headCount; n++) {
                for (int t = 0; t < tokens; t += TOKENS) {
                    Head head = heads[n];
                    int count = Math.min(TOKENS, tokens - t);
                    int at = t * width;
                    float[] found = rotated.scores(n);
                    head.residuals.addScores(call, firstHead + n, block + t / TOKENS, count, any.used(), found, at);
                    sumBlock(call, firstHead + n, head, block + t / TOKENS, count, found, at);
                }
            }
        }
    }

    /** Turns the scores of a block into weights and adds its values. */
    private void sumBlock(
            AttentionCall call, int kvHead, Head head, int block, int count, float[] blockScores, int at) {
        if (head.panel.weighCodes(blockScores, at, call.sinks + block * TOKENS, count)) {
            rescale(head);
            Lanes.scale(head.latentSums, (int) (head.latentSums.byteSize() / Float.BYTES), head.panel.factors());
        }
        if (call.values instanceof CodedSite values) {
            values.unpack(codes, block, kvHead, count, width * Float.BYTES);
            kernels.accumulate(codes, call.readValue, count, blockScores, at, head.latentSums);
            head.residuals.addValues(call, kvHead, block, count, head.panel.used(), blockScores, at);
        } else {
            MemorySegment rows = decoder.values(call, kvHead, block, count);
            sumRows(head, rows, 0, (long) dHead * Float.BYTES, count, blockScores, at);
        }
    }

    /** latentQueries = W_dec · queries, and the bias q · b_dec. */
    private void projectQueries(Atoms atoms, Head head) {
        for (int row = 0; row < atoms.latents(); row += TOKENS) {
            int count = Math.min(TOKENS, atoms.latents() - row);
            scoreRows(head, atoms.weights(), (long) row * atoms.stride(), atoms.stride(), count);
            MemorySegment.copy(scores, 0, latentQueries, JAVA_FLOAT, (long) row * width * Float.BYTES, count * width);
        }
        RowKernels.dot(atoms.bias(), 0, (long) dHead * Float.BYTES, 1, dHead, head.queries, 0, width, bias, width);
    }

    /** sums += W_decᵀ · latentSums, of the atoms from {@code row} on, as many as a block has tokens. */
    private void projectSums(Atoms atoms, int row, Head head) {
        int count = Math.min(TOKENS, atoms.latents() - row);
        MemorySegment.copy(head.latentSums, JAVA_FLOAT, (long) row * width * Float.BYTES, scores, 0, count * width);
        sumRows(head, atoms.weights(), (long) row * atoms.stride(), atoms.stride(), count);
    }

    /** sums += b_dec for each weight. */
    private void addBias(Atoms atoms, Head head) {
        for (int column = 0; column < width; column++) {
            scores[column] = head.panel.codedSum(column);
        }
        sumRows(head, atoms.bias(), 0, (long) dHead * Float.BYTES, 1);
    }

    private void scoreRows(Head head, MemorySegment rows, long offset, long stride, int count) {
        RowKernels.dot(rows, offset, stride, count, dHead, head.queries, 0, head.panel.used(), scores, width);
    }

    private void sumRows(Head head, MemorySegment rows, long offset, long stride, int count) {
        sumRows(head, rows, offset, stride, count, scores, 0);
    }

    private void sumRows(
            Head head, MemorySegment rows, long offset, long stride, int count, float[] weights, int weightsAt) {
        RowKernels.accumulate(
                rows, offset, stride, count, dHead, weights, weightsAt, width, head.panel.used(), head.sums);
    }

    private void rescale(Head head) {
        float[] factors = head.panel.factors();
        head.residuals.rescale(factors);
        Lanes.scaleRows(head.sums, width, dHead, factors);
    }
}
