package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Attention of a few queries, as in generating a token: codes are used as they are. With z = W_dec · q, computed once, the score of a key
 * coded after RoPE is Σ c_k z[index_k] + q · b_dec; the weights of values are summed by atom, and one product with W_dec ends it. Keys
 * coded before RoPE are decoded and rotated a block at a time; quantized keys and values are decoded too.
 *
 * <p>A task is some queries of one KV head over a part of its blocks; {@link PartialOutputs} puts the parts together.
 */
final class LatentAttention {
    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private final int dHead;
    private final int width;
    private final LatentKernels kernels;
    private final UnpackedCodes codes;
    private final BlockDecoder decoder;
    private final QueryPanel panel;
    /** fp32 {@code [width, dHead]}, times the scale. */
    private final MemorySegment queries;
    /** Weighted sums of values, fp32 {@code [width, dHead]}. */
    private final MemorySegment sums;
    /** q · atom, fp32 {@code [latents, width]}. */
    private final MemorySegment latentQueries;
    /** Weighted sums of coefficients, fp32 {@code [latents, width]}. */
    private final MemorySegment latentSums;

    /** {@code [TOKENS, width]}. */
    private final float[] scores;
    /** q · b_dec: what the bias of the key dictionary adds to each score; with room for a tile of {@link RowKernels}. */
    private final float[] bias;

    LatentAttention(
            Arena arena, RotaryEmbedding rotary, int dHead, int latents, LatentKernels kernels, UnpackedCodes codes) {
        this.dHead = dHead;
        this.kernels = kernels;
        this.codes = codes;
        width = kernels.width();
        decoder = new BlockDecoder(arena, rotary, dHead, codes);
        panel = new QueryPanel(width);
        queries = arena.allocate((long) width * dHead * Float.BYTES, 64);
        sums = arena.allocate((long) width * dHead * Float.BYTES, 64);
        // Filled up to a whole tile of rows, and so of vectors.
        long latentFloats = (long) Math.ceilDiv(latents, TOKENS) * TOKENS * width;
        latentQueries = arena.allocate(latentFloats * Float.BYTES, 64);
        latentSums = arena.allocate(latentFloats * Float.BYTES, 64);
        scores = new float[TOKENS * width];
        bias = new float[RowKernels.TILE * width];
    }

    /**
     * Attends for the queries of a KV head from {@code first} on, as many as there are lanes.
     *
     * @param part which of {@code parts} equal parts of the blocks; the last one's task reads the dense tokens too
     * @param outputs where the result goes, in {@code slot}
     */
    void run(AttentionCall call, int head, int first, int part, int parts, PartialOutputs outputs, int slot) {
        panel.begin(call, head, first);
        takeQueries(call);
        sums.fill((byte) 0);
        if (part == parts - 1) {
            attendDense(call, head);
        }
        int from = panel.firstBlock(call.sinks);
        int blocks = Math.max(0, panel.endBlock(call.sinks) - from);
        int begin = from + (int) ((long) blocks * part / parts);
        int end = from + (int) ((long) blocks * (part + 1) / parts);
        if (begin < end) {
            attendCodes(call, head, begin, end);
        }
        outputs.put(slot, panel, sums);
    }

    private void takeQueries(AttentionCall call) {
        for (int column = 0; column < width; column++) {
            long from = (long) panel.query(column) * dHead;
            long to = (long) column * dHead;
            for (int d = 0; d < dHead; d++) {
                float q = column < panel.used() ? call.queries.getAtIndex(JAVA_FLOAT, from + d) : 0;
                queries.setAtIndex(JAVA_FLOAT, to + d, q * call.shape.scale());
            }
        }
    }

    private void attendDense(AttentionCall call, int head) {
        DenseRun sinks = call.sinkRun;
        for (int t = 0; t < sinks.tokens; t += TOKENS) {
            int count = Math.min(TOKENS, sinks.tokens - t);
            scoreRows(sinks.keys, sinks.at(head, t), sinks.tokenStride, count);
            rescale(panel.weighSinks(scores, 0, sinks.firstToken + t, count), false);
            sumRows(sinks.values, sinks.at(head, t), sinks.tokenStride, count, scores);
        }
        for (int i = 0; i < call.tailRunCount; i++) {
            DenseRun run = call.tailRuns[i];
            for (int t = 0; t < run.tokens; t += TOKENS) {
                int count = Math.min(TOKENS, run.tokens - t);
                if (panel.readsTail(run.firstToken + t, count)) {
                    scoreRows(run.keys, run.at(head, t), run.tokenStride, count);
                    rescale(panel.weighTail(scores, 0, run.firstToken + t, count), false);
                    sumRows(run.values, run.at(head, t), run.tokenStride, count, scores);
                }
            }
        }
    }

    private void attendCodes(AttentionCall call, int head, int begin, int end) {
        latentSums.fill((byte) 0);
        if (call.keys instanceof CodedSite keys && !call.rotatesKeys) {
            projectQueries(keys.dictionary(head));
        }
        for (int block = begin; block < end; block++) {
            int count = panel.tokensOfBlock(block, call.sinks);
            scoreBlock(call, head, block, count);
            rescale(panel.weighCodes(scores, 0, call.sinks + block * TOKENS, count), true);
            if (call.values instanceof CodedSite values) {
                codes.read(values.layout(), values.body(block), head, count, width * Float.BYTES);
                kernels.accumulate(codes, call.readValue, count, scores, latentSums);
            } else {
                sumRows(decoder.values(call, head, block, count), 0, (long) dHead * Float.BYTES, count, scores);
            }
        }
        if (call.values instanceof CodedSite values) {
            projectSums(values.dictionary(head));
        }
    }

    private void scoreBlock(AttentionCall call, int head, int block, int count) {
        if (call.keys instanceof CodedSite keys && !call.rotatesKeys) {
            codes.read(keys.layout(), keys.body(block), head, count, width * Float.BYTES);
            kernels.score(codes, call.readKey, count, bias, latentQueries, scores);
        } else {
            scoreRows(decoder.keys(call, head, block, count), 0, (long) dHead * Float.BYTES, count);
        }
    }

    /** latentQueries = W_dec · queries, and the bias q · b_dec. */
    private void projectQueries(Dictionary dictionary) {
        long rowBytes = (long) dHead * Float.BYTES;
        for (int row = 0; row < dictionary.latents(); row += TOKENS) {
            int count = Math.min(TOKENS, dictionary.latents() - row);
            scoreRows(dictionary.decoderWeights(), row * rowBytes, rowBytes, count);
            MemorySegment.copy(scores, 0, latentQueries, JAVA_FLOAT, (long) row * width * Float.BYTES, count * width);
        }
        RowKernels.dot(dictionary.decoderBias(), 0, rowBytes, 1, dHead, queries, width, bias, width);
    }

    /** sums += W_decᵀ · latentSums, and the bias b_dec once for each weight. */
    private void projectSums(Dictionary dictionary) {
        long rowBytes = (long) dHead * Float.BYTES;
        for (int row = 0; row < dictionary.latents(); row += TOKENS) {
            int count = Math.min(TOKENS, dictionary.latents() - row);
            MemorySegment.copy(latentSums, JAVA_FLOAT, (long) row * width * Float.BYTES, scores, 0, count * width);
            sumRows(dictionary.decoderWeights(), row * rowBytes, rowBytes, count, scores);
        }
        for (int column = 0; column < width; column++) {
            scores[column] = panel.codedSum(column);
        }
        sumRows(dictionary.decoderBias(), 0, rowBytes, 1, scores);
    }

    private void scoreRows(MemorySegment rows, long offset, long stride, int count) {
        RowKernels.dot(rows, offset, stride, count, dHead, queries, panel.used(), scores, width);
    }

    private void sumRows(MemorySegment rows, long offset, long stride, int count, float[] weights) {
        RowKernels.accumulate(rows, offset, stride, count, dHead, weights, width, panel.used(), sums);
    }

    private void rescale(boolean asked, boolean latents) {
        if (!asked) {
            return;
        }
        float[] factors = panel.factors();
        for (int column = 0; column < width; column++) {
            for (int d = 0; d < dHead; d++) {
                long at = (long) column * dHead + d;
                sums.setAtIndex(JAVA_FLOAT, at, sums.getAtIndex(JAVA_FLOAT, at) * factors[column]);
            }
        }
        if (latents) {
            Lanes.scale(latentSums, (int) (latentSums.byteSize() / Float.BYTES), factors);
        }
    }
}
