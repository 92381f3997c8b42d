package io.sparrowkv.tornado;

import io.sparrowkv.codec.CodeBlockLayout;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.math.TornadoMath;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/**
 * The kernels that read codes, for devices of any class: nothing but what OpenCL 1.2 has.
 *
 * <p>Codes of a site are {@code [blocks, kvHeads, TOKENS, budget]}, as in a {@link CodeBlockLayout}'s two parts: unsigned 16-bit atom
 * indices, and binary16 coefficients. Atoms are {@code [dictionaries, latents + 1, dHead]}: the row after the last atom is the bias,
 * whose coefficient is 1 in every code. A code names an atom once; its padding, of coefficient 0, is passed over.
 *
 * <p>Each kernel hands the launch's number on, from its step's place in {@code stamps} to the next, so that one that did not run is
 * noticed.
 */
final class ReadKernels {
    /** Threads of a group where the group does not matter. */
    static final int GROUP = 64;

    /** Threads that sum the values of one head and one part. */
    static final int SUMMERS = 32;

    /** Score that everything exceeds; finite, since device compilers may take all values for finite. */
    static final float NOTHING = -1e30f;

    /** What stands after a head's sums in a result: its reference and its weight. */
    static final int RESULT_EXTRA = 2;

    /** Steps of a launch, in order. */
    static final int STORE_KEYS = 0;

    static final int STORE_VALUES = 1;
    static final int DECODE_KEYS = 2;
    static final int DECODE_VALUES = 3;
    static final int PROJECT_QUERIES = 4;
    static final int SCORE = 5;
    static final int ACCUMULATE = 6;
    static final int MERGE = 7;
    static final int PROJECT_SUMS = 8;
    static final int STEPS = 9;

    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private ReadKernels() {}

    /**
     * Puts a block's codes in their place.
     *
     * <p>Device class: any. Launch: one-dimensional groups of {@link #GROUP} threads, one thread a pair.
     *
     * @param call {@link ReadField}s
     * @param size pairs of a block
     */
    static void store(
            KernelContext context,
            IntArray call,
            ShortArray stagedIndices,
            ShortArray stagedCoefficients,
            ShortArray indices,
            ShortArray coefficients,
            IntArray stamps,
            int step,
            int size) {
        int i = context.globalIdx;
        if (i < size * call.get(ReadField.STORED)) {
            int to = call.get(ReadField.BLOCK) * size + i;
            indices.set(to, stagedIndices.get(i));
            coefficients.set(to, stagedCoefficients.get(i));
        }
        if (i == 0) {
            stamps.set(step + 1, stamps.get(step));
        }
    }

    /**
     * Turns a block's codes back into vectors: bias + Σ coefficient · atom.
     *
     * <p>Device class: any. Launch: one-dimensional groups of {@link #GROUP} threads, one thread an element of
     * {@code [kvHeads, TOKENS, dHead]}.
     *
     * @param vectors {@code [kvHeads, TOKENS, dHead]}
     * @param field the {@link ReadField} that tells how many pairs are read; 0 for none to be written
     * @param elements of a block's vectors
     * @param rows latents + 1
     * @param ownHeads 1 where each head has a dictionary of its own, else 0
     */
    static void decode(
            KernelContext context,
            IntArray call,
            ShortArray indices,
            ShortArray coefficients,
            FloatArray scales,
            FloatArray atoms,
            FloatArray vectors,
            IntArray stamps,
            int step,
            int field,
            int elements,
            int budget,
            int dHead,
            int rows,
            int ownHeads) {
        int element = context.globalIdx;
        int read = call.get(field);
        if (read > 0) {
            if (element < elements) {
                int row = element / dHead;
                int d = element % dHead;
                int atom = row / TOKENS * ownHeads * rows;
                int code = (call.get(ReadField.BLOCK) * (elements / dHead) + row) * budget;
                float sum = atoms.get((atom + rows - 1) * dHead + d);
                for (int k = 0; k < read; k++) {
                    float coefficient = HalfFloats.value(scales, coefficients.get(code + k));
                    int index = HalfFloats.unsigned(indices.get(code + k));
                    sum = sum + coefficient * atoms.get((atom + index) * dHead + d);
                }
                vectors.set(element, sum);
            }
        }
        if (element == 0) {
            stamps.set(step + 1, stamps.get(step));
        }
    }

    /**
     * What a pair adds to a score, by atom: query · atom, and last query · bias.
     *
     * <p>Device class: any. Launch: groups of {@link #GROUP} threads along x, one thread an atom or the bias; along y the query heads.
     *
     * @param queries {@code [heads, dHead]}, times the scale
     * @param latentQueries {@code [heads, rows]}
     * @param group query heads of a KV head
     */
    static void projectQueries(
            KernelContext context,
            FloatArray queries,
            FloatArray atoms,
            FloatArray latentQueries,
            IntArray stamps,
            int group,
            int dHead,
            int rows,
            int ownHeads) {
        int latent = context.globalIdx;
        int head = context.globalIdy;
        if (latent < rows) {
            int atom = (head / group * ownHeads * rows + latent) * dHead;
            float sum = 0f;
            for (int d = 0; d < dHead; d++) {
                sum = sum + queries.get(head * dHead + d) * atoms.get(atom + d);
            }
            int at = head * rows + latent;
            latentQueries.set(at, WrittenThenRead.value(latentQueries, at, sum, stamps.get(PROJECT_QUERIES)));
            if (latent + head == 0) {
                stamps.set(PROJECT_QUERIES + 1, stamps.get(PROJECT_QUERIES));
            }
        }
    }

    /**
     * Scores of the tokens: Σ coefficient · latentQueries[index], and the bias's.
     *
     * <p>Device class: any. Launch: groups of {@link #GROUP} threads along x, one thread a token from the first on; along y the query
     * heads.
     *
     * @param scores {@code [heads, capacity]}
     * @param capacity tokens that there is room for
     */
    static void score(
            KernelContext context,
            IntArray call,
            ShortArray indices,
            ShortArray coefficients,
            FloatArray scales,
            FloatArray latentQueries,
            FloatArray scores,
            IntArray stamps,
            int group,
            int kvHeads,
            int rows,
            int budget,
            int capacity) {
        int token = context.globalIdx + call.get(ReadField.FIRST);
        int head = context.globalIdy;
        if (token < call.get(ReadField.END)) {
            int code = ((token / TOKENS * kvHeads + head / group) * TOKENS + token % TOKENS) * budget;
            float sum = latentQueries.get(head * rows + rows - 1);
            for (int k = 0; k < call.get(ReadField.READ_KEY); k++) {
                float coefficient = HalfFloats.value(scales, coefficients.get(code + k));
                int index = HalfFloats.unsigned(indices.get(code + k));
                sum = sum + coefficient * latentQueries.get(head * rows + index);
            }
            scores.set(head * capacity + token, sum);
        }
        if (context.globalIdx + head == 0) {
            stamps.set(SCORE + 1, stamps.get(SCORE));
        }
    }

    /**
     * Weights of a part's tokens, relative to its largest score, and the sums of values by atom. One token after the other: the pairs of
     * one code name different atoms, those of two may not.
     *
     * <p>Device class: any. Launch: groups of {@link #SUMMERS} threads, one for each part (x) and query head (y). Local memory: 128 bytes.
     *
     * @param scores {@code [heads, capacity]}; become weights
     * @param sums {@code [parts, heads, rows]}; the last of a row is the sum of the weights, the bias's coefficient
     * @param references {@code [parts, heads]}
     */
    static void accumulate(
            KernelContext context,
            IntArray call,
            ShortArray indices,
            ShortArray coefficients,
            FloatArray scales,
            FloatArray scores,
            FloatArray sums,
            FloatArray references,
            IntArray stamps,
            int group,
            int kvHeads,
            int rows,
            int budget,
            int capacity) {
        float[] partial = context.allocateFloatLocalArray(SUMMERS);
        int thread = context.localIdx;
        int head = context.groupIdy;
        int part = context.groupIdx;
        int from = call.get(ReadField.FIRST) + part * call.get(ReadField.SPAN);
        int to = Math.min(from + call.get(ReadField.SPAN), call.get(ReadField.END));
        int line = part * kvHeads * group + head;
        int base = line * rows;
        for (int latent = thread; latent < rows; latent += SUMMERS) {
            sums.set(base + latent, 0f);
        }
        float largest = NOTHING;
        for (int token = from + thread; token < to; token += SUMMERS) {
            largest = Math.max(largest, scores.get(head * capacity + token));
        }
        partial[thread] = largest;
        context.localBarrier();
        for (int stride = SUMMERS / 2; stride > 0; stride = stride / 2) {
            if (thread < stride) {
                partial[thread] = Math.max(partial[thread], partial[thread + stride]);
            }
            context.localBarrier();
        }
        float reference = partial[0];
        context.localBarrier();
        float weights = 0f;
        for (int token = from + thread; token < to; token += SUMMERS) {
            float weight = TornadoMath.exp(scores.get(head * capacity + token) - reference);
            scores.set(head * capacity + token, weight);
            weights = weights + weight;
        }
        partial[thread] = weights;
        context.localBarrier();
        for (int stride = SUMMERS / 2; stride > 0; stride = stride / 2) {
            if (thread < stride) {
                partial[thread] = partial[thread] + partial[thread + stride];
            }
            context.localBarrier();
        }
        context.globalBarrier();
        for (int token = from; token < to; token++) {
            float weight = scores.get(head * capacity + token);
            int code = ((token / TOKENS * kvHeads + head / group) * TOKENS + token % TOKENS) * budget;
            for (int k = thread; k < call.get(ReadField.READ_VALUE); k += SUMMERS) {
                float coefficient = HalfFloats.value(scales, coefficients.get(code + k));
                if (coefficient != 0f) {
                    int at = base + HalfFloats.unsigned(indices.get(code + k));
                    sums.set(at, sums.get(at) + weight * coefficient);
                }
            }
            context.globalBarrier();
        }
        if (thread == 0) {
            sums.set(base + rows - 1, partial[0]);
            references.set(line, WrittenThenRead.value(references, line, reference, stamps.get(ACCUMULATE)));
            if (line == 0) {
                stamps.set(ACCUMULATE + 1, stamps.get(ACCUMULATE));
            }
        }
    }

    /**
     * Puts the parts together, brought to the largest reference.
     *
     * <p>Device class: any. Launch: groups of {@link #GROUP} threads along x, one thread an atom or the bias; along y the query heads.
     *
     * @param merged {@code [heads, rows]}
     * @param result {@code [heads, dHead + RESULT_EXTRA]}; receives references and weights
     */
    static void merge(
            KernelContext context,
            IntArray call,
            FloatArray sums,
            FloatArray references,
            FloatArray merged,
            FloatArray result,
            IntArray stamps,
            int heads,
            int dHead,
            int rows) {
        int latent = context.globalIdx;
        int head = context.globalIdy;
        if (latent < rows) {
            int parts = call.get(ReadField.PARTS);
            float reference = NOTHING;
            for (int part = 0; part < parts; part++) {
                reference = Math.max(reference, references.get(part * heads + head));
            }
            float sum = 0f;
            for (int part = 0; part < parts; part++) {
                int line = part * heads + head;
                sum = sum + TornadoMath.exp(references.get(line) - reference) * sums.get(line * rows + latent);
            }
            int at = head * rows + latent;
            merged.set(at, WrittenThenRead.value(merged, at, sum, stamps.get(MERGE)));
            if (latent == rows - 1) {
                result.set(head * (dHead + RESULT_EXTRA) + dHead, reference);
                result.set(head * (dHead + RESULT_EXTRA) + dHead + 1, sum);
            }
            if (latent + head == 0) {
                stamps.set(MERGE + 1, stamps.get(MERGE));
            }
        }
    }

    /**
     * Turns sums by atom into sums of values.
     *
     * <p>Device class: any. Launch: groups of {@link #GROUP} threads along x, one thread a dimension; along y the query heads.
     *
     * @param result {@code [heads, dHead + RESULT_EXTRA]}; receives the sums
     */
    static void projectSums(
            KernelContext context,
            FloatArray merged,
            FloatArray atoms,
            FloatArray result,
            IntArray stamps,
            int group,
            int dHead,
            int rows,
            int ownHeads) {
        int d = context.globalIdx;
        int head = context.globalIdy;
        if (d < dHead) {
            int atom = head / group * ownHeads * rows;
            float sum = 0f;
            for (int latent = 0; latent < rows; latent++) {
                sum = sum + merged.get(head * rows + latent) * atoms.get((atom + latent) * dHead + d);
            }
            result.set(head * (dHead + RESULT_EXTRA) + d, sum);
            if (d + head == 0) {
                stamps.set(PROJECT_SUMS + 1, stamps.get(PROJECT_SUMS));
            }
        }
    }
}
