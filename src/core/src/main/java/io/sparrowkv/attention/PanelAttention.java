package io.sparrowkv.attention;

import static io.sparrowkv.attention.LaneKernels.ALL;
import static io.sparrowkv.attention.LaneKernels.ROW_BYTES;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.VectorMask;

/**
 * One worker's share of attention: a few panels at a time through sinks, tail and codes.
 *
 * <p>Keys coded after RoPE are never rebuilt: with z = W_dec · q, computed once for a panel, the score of a code is
 * Σ c_k z[index_k] + q · b_dec. Neither are values: the weights are summed by atom, and one product with W_dec ends the panel. Keys
 * coded before RoPE are decoded and rotated a block at a time. Several panels share each pass over W_dec and each decoded block.
 */
final class PanelAttention {
    /** Panels of a task: W_dec is read once for all of them, while the sums of one at a time stay in the second-level cache. */
    static final int PANELS = 4;

    private static final int TILE = CodeBlockLayout.TOKENS;

    /** Rows of W_dec that are taken at a time, so that they stay in the first-level cache for all panels: 32 KiB at dHead 128. */
    private static final int ATOM_ROWS = 64;

    private final RotaryEmbedding rotary;
    private final int dHead;
    private final Panel[] panels = new Panel[PANELS];
    private final MemorySegment scores;
    /** The weights of one of several heads. */
    private final MemorySegment headWeights;

    private final int[] offsets;
    private final float[] coefficients;
    private final MemorySegment decoded;
    private int decodedHead;
    private int decodedBlock;

    PanelAttention(Arena arena, RotaryEmbedding rotary, int dHead, int latents, int budget) {
        this.rotary = rotary;
        this.dHead = dHead;
        for (int i = 0; i < PANELS; i++) {
            panels[i] = new Panel(arena, dHead, latents);
        }
        scores = arena.allocate(TILE * ROW_BYTES, 64);
        headWeights = arena.allocate(TILE * ROW_BYTES, 64);
        offsets = new int[TILE * budget];
        coefficients = new float[TILE * budget];
        decoded = arena.allocate((long) TILE * dHead * Float.BYTES, 64);
    }

    /** Computes the outputs of panels {@code first} to {@code first + count} of a call. */
    void run(AttentionCall call, int first, int count) {
        boolean readsCodes = false;
        for (int p = 0; p < count; p++) {
            Panel panel = panels[p];
            panel.begin(call, first + p);
            attendDense(call, panel);
            readsCodes |= panel.readsCodes(call.sinks);
        }
        if (readsCodes) {
            attendCodes(call, count);
        }
        for (int p = 0; p < count; p++) {
            panels[p].finish(call, valueDictionary(call, panels[p]).decoderBias());
        }
    }

    private void attendDense(AttentionCall call, Panel panel) {
        DenseRun sinks = call.sinkRun;
        for (int t = 0; t < sinks.tokens; t += TILE) {
            int count = Math.min(TILE, sinks.tokens - t);
            scoreDense(sinks, t, count, panel);
            panel.weighSinks(scores, sinks.firstToken + t, count);
            sumDense(sinks, t, count, panel);
        }
        for (int i = 0; i < call.tailRunCount; i++) {
            DenseRun run = call.tailRuns[i];
            for (int t = 0; t < run.tokens; t += TILE) {
                int count = Math.min(TILE, run.tokens - t);
                if (panel.readsTail(run.firstToken + t, count)) {
                    scoreDense(run, t, count, panel);
                    panel.weighTail(scores, run.firstToken + t, count);
                    sumDense(run, t, count, panel);
                }
            }
        }
    }

    private void scoreDense(DenseRun run, int token, int count, Panel panel) {
        long vector = (long) dHead * Float.BYTES;
        for (int n = 0; n < panel.heads; n++) {
            long offset = run.offset + (panel.firstHead + n) * run.headStride + token * vector;
            LaneKernels.product(run.keys, offset, vector, count, dHead, panel.queries, 0, scores, 0, panel.mask(n));
        }
    }

    private void sumDense(DenseRun run, int token, int count, Panel panel) {
        long vector = (long) dHead * Float.BYTES;
        for (int n = 0; n < panel.heads; n++) {
            long offset = run.offset + (panel.firstHead + n) * run.headStride + token * vector;
            LaneKernels.accumulate(
                    run.values, offset, vector, count, dHead, weights(panel, n, count), 0, panel.sums, 0);
        }
    }

    private void attendCodes(AttentionCall call, int count) {
        int firstToken = Integer.MAX_VALUE;
        int end = 0;
        for (int p = 0; p < count; p++) {
            Panel panel = panels[p];
            panel.beginCodes(valueDictionary(call, panel).latents());
            firstToken = Math.min(firstToken, panel.leastSeen);
            end = Math.max(end, panel.mostCoded);
        }
        if (!call.rotatesKeys) {
            projectQueries(call, count);
        }
        int firstBlock = Math.max(0, firstToken - call.sinks) / TILE;
        int endBlock = (end - call.sinks + TILE - 1) / TILE;
        decodedBlock = -1;
        // Panel by panel keeps one panel's latents in the second-level cache; a decoded block is better shared by all
        // panels.
        int blocks = call.rotatesKeys ? 1 : endBlock - firstBlock;
        for (int block = firstBlock; block < endBlock; block += blocks) {
            for (int p = 0; p < count; p++) {
                for (int b = block; b < block + blocks; b++) {
                    attendBlock(call, panels[p], b);
                }
            }
        }
        projectSums(call, count);
    }

    /** latentQueries = W_dec · queries, and the bias q · b_dec. */
    private void projectQueries(AttentionCall call, int count) {
        int rows = keyDictionary(call, panels[0]).latents();
        for (int p = 1; p < count; p++) {
            rows = Math.max(rows, keyDictionary(call, panels[p]).latents());
        }
        long vector = (long) dHead * Float.BYTES;
        for (int row = 0; row < rows; row += ATOM_ROWS) {
            for (int p = 0; p < count; p++) {
                Panel panel = panels[p];
                Dictionary dictionary = keyDictionary(call, panel);
                int some = Math.min(ATOM_ROWS, dictionary.latents() - row);
                LaneKernels.product(
                        dictionary.decoderWeights(),
                        row * vector,
                        vector,
                        some,
                        dHead,
                        panel.queries,
                        0,
                        panel.latentQueries,
                        row * ROW_BYTES,
                        ALL);
            }
        }
        for (int p = 0; p < count; p++) {
            MemorySegment bias = keyDictionary(call, panels[p]).decoderBias();
            LaneKernels.product(bias, 0, vector, 1, dHead, panels[p].queries, 0, panels[p].state, Panel.BIAS, ALL);
        }
    }

    /** sums += W_decᵀ · latentSums. */
    private void projectSums(AttentionCall call, int count) {
        int rows = valueDictionary(call, panels[0]).latents();
        for (int p = 1; p < count; p++) {
            rows = Math.max(rows, valueDictionary(call, panels[p]).latents());
        }
        long vector = (long) dHead * Float.BYTES;
        for (int row = 0; row < rows; row += ATOM_ROWS) {
            for (int p = 0; p < count; p++) {
                Panel panel = panels[p];
                Dictionary dictionary = valueDictionary(call, panel);
                int some = Math.min(ATOM_ROWS, dictionary.latents() - row);
                LaneKernels.accumulate(
                        dictionary.decoderWeights(),
                        row * vector,
                        vector,
                        some,
                        dHead,
                        panel.latentSums,
                        row * ROW_BYTES,
                        panel.sums,
                        0);
            }
        }
    }

    private void attendBlock(AttentionCall call, Panel panel, int block) {
        int token = call.sinks + block * TILE;
        int count = Math.min(TILE, panel.mostCoded - token);
        if (count <= 0 || token + count <= panel.leastSeen) {
            return;
        }
        for (int n = 0; n < panel.heads; n++) {
            scoreBlock(call, panel, block, count, panel.firstHead + n, panel.mask(n));
        }
        panel.weighCodes(scores, token, count);
        CodeBlockLayout layout = call.values.layout();
        MemorySegment body = call.values.body(block);
        for (int n = 0; n < panel.heads; n++) {
            unpack(layout, body, panel.firstHead + n, count, (int) ROW_BYTES);
            LaneKernels.accumulateCodes(
                    offsets,
                    coefficients,
                    layout.budget(),
                    call.readValue,
                    count,
                    weights(panel, n, count),
                    panel.latentSums);
        }
    }

    /** The weights of a panel's n-th head; those of the others are 0. */
    private MemorySegment weights(Panel panel, int n, int count) {
        if (panel.heads == 1) {
            return scores;
        }
        LaneKernels.select(scores, count, panel.mask(n), headWeights);
        return headWeights;
    }

    private void unpack(CodeBlockLayout layout, MemorySegment body, int head, int count, int stride) {
        long row = layout.rowOffset(head, 0);
        LaneKernels.unpack(
                body, row, layout.coefficientOffset() + row, count * layout.budget(), stride, offsets, coefficients);
    }

    private void scoreBlock(AttentionCall call, Panel panel, int block, int count, int head, VectorMask<Float> mask) {
        if (call.rotatesKeys) {
            decodeKeys(call, block, head);
            long vector = (long) dHead * Float.BYTES;
            LaneKernels.product(decoded, 0, vector, count, dHead, panel.queries, 0, scores, 0, mask);
            return;
        }
        CodeBlockLayout layout = call.keys.layout();
        unpack(layout, call.keys.body(block), head, count, (int) ROW_BYTES);
        LaneKernels.scoreCodes(
                offsets,
                coefficients,
                layout.budget(),
                call.readKey,
                count,
                panel.state,
                Panel.BIAS,
                panel.latentQueries,
                scores,
                mask);
    }

    private void decodeKeys(AttentionCall call, int block, int head) {
        if (decodedBlock == block && decodedHead == head) {
            return;
        }
        CodeBlockLayout layout = call.keys.layout();
        Dictionary dictionary = call.keys.dictionary(head);
        int count = Math.min(TILE, call.keys.tokens() - block * TILE);
        unpack(layout, call.keys.body(block), head, count, dHead * Float.BYTES);
        LaneKernels.decode(
                offsets,
                coefficients,
                layout.budget(),
                call.readKey,
                count,
                dHead,
                dictionary.decoderWeights(),
                dictionary.decoderBias(),
                decoded);
        for (int t = 0; t < count; t++) {
            rotary.rotate(decoded, (long) t * dHead * Float.BYTES, call.sinks + block * TILE + t);
        }
        decodedBlock = block;
        decodedHead = head;
    }

    private static Dictionary keyDictionary(AttentionCall call, Panel panel) {
        return call.keys.dictionary(panel.firstHead);
    }

    private static Dictionary valueDictionary(AttentionCall call, Panel panel) {
        return call.values.dictionary(panel.firstHead);
    }
}
