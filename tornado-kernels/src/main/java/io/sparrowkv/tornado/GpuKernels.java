package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/**
 * The kernels for GPUs of any vendor: tiles in local memory, many narrow threads, nothing but what OpenCL 1.2 has. Sums and candidates
 * are named scalars, since a private array may end up in memory.
 *
 * <p>Weights are a {@link DictionaryBank}'s, vectors are centred rows of {@code depth} floats.
 */
final class GpuKernels {
    /** Threads along one side of the product's groups. */
    static final int SIDE = 16;

    /** Rows of a group's tile of the product; its latents are one panel. */
    static final int TILE_ROWS = 64;

    /** Threads that select one row's code. */
    static final int SELECTORS = 64;

    private static final int STEP = DictionaryBank.DEPTH_STEP;
    private static final int PANEL = DictionaryBank.PANEL;

    private GpuKernels() {}

    /**
     * Pre-activations before the ReLU, {@code [capacity, latents]}: row · weight + bias.
     *
     * <p>Device class: GPU. Launch: groups of {@link #SIDE} × {@link #SIDE} threads, one group for each panel (x) and each tile of
     * {@link #TILE_ROWS} rows (y); a thread sums 4 rows × 4 latents. Local memory: 4 KB.
     *
     * @param batch {@link BatchField}s; receives the number of the batch it ran for
     * @param weights {@code [slots, panels, 1 + depth, PANEL]}
     * @param vectors {@code [capacity, depth]}
     * @param panels panels of one dictionary
     */
    static void multiply(
            KernelContext context,
            IntArray batch,
            FloatArray weights,
            FloatArray vectors,
            FloatArray preActivations,
            int depth,
            int panels) {
        float[] x = context.allocateFloatLocalArray(STEP * TILE_ROWS);
        float[] w = context.allocateFloatLocalArray(STEP * PANEL);
        int column = context.localIdx;
        int line = context.localIdy;
        int thread = line * SIDE + column;
        int panel = context.groupIdx;
        int firstRow = context.groupIdy * TILE_ROWS;
        int bias = (batch.get(BatchField.PLACE) * panels + panel) * (depth + 1) * PANEL;
        int first = bias + PANEL;
        float b0 = weights.get(bias + column + 0 * SIDE);
        float b1 = weights.get(bias + column + 1 * SIDE);
        float b2 = weights.get(bias + column + 2 * SIDE);
        float b3 = weights.get(bias + column + 3 * SIDE);
        float z00 = b0;
        float z01 = b1;
        float z02 = b2;
        float z03 = b3;
        float z10 = b0;
        float z11 = b1;
        float z12 = b2;
        float z13 = b3;
        float z20 = b0;
        float z21 = b1;
        float z22 = b2;
        float z23 = b3;
        float z30 = b0;
        float z31 = b1;
        float z32 = b2;
        float z33 = b3;
        for (int step = 0; step < depth; step += STEP) {
            for (int i = thread; i < STEP * PANEL; i += SIDE * SIDE) {
                x[i % STEP * TILE_ROWS + i / STEP] = vectors.get((firstRow + i / STEP) * depth + step + i % STEP);
                w[i] = weights.get(first + step * PANEL + i);
            }
            context.localBarrier();
            for (int i = 0; i < STEP; i++) {
                float x0 = x[i * TILE_ROWS + line * 4 + 0];
                float x1 = x[i * TILE_ROWS + line * 4 + 1];
                float x2 = x[i * TILE_ROWS + line * 4 + 2];
                float x3 = x[i * TILE_ROWS + line * 4 + 3];
                float w0 = w[i * PANEL + column + 0 * SIDE];
                float w1 = w[i * PANEL + column + 1 * SIDE];
                float w2 = w[i * PANEL + column + 2 * SIDE];
                float w3 = w[i * PANEL + column + 3 * SIDE];
                z00 = z00 + x0 * w0;
                z01 = z01 + x0 * w1;
                z02 = z02 + x0 * w2;
                z03 = z03 + x0 * w3;
                z10 = z10 + x1 * w0;
                z11 = z11 + x1 * w1;
                z12 = z12 + x1 * w2;
                z13 = z13 + x1 * w3;
                z20 = z20 + x2 * w0;
                z21 = z21 + x2 * w1;
                z22 = z22 + x2 * w2;
                z23 = z23 + x2 * w3;
                z30 = z30 + x3 * w0;
                z31 = z31 + x3 * w1;
                z32 = z32 + x3 * w2;
                z33 = z33 + x3 * w3;
            }
            context.localBarrier();
        }
        int latents = panels * PANEL;
        int out = (firstRow + line * 4) * latents + panel * PANEL + column;
        preActivations.set(out + 0 * latents + 0 * SIDE, z00);
        preActivations.set(out + 0 * latents + 1 * SIDE, z01);
        preActivations.set(out + 0 * latents + 2 * SIDE, z02);
        preActivations.set(out + 0 * latents + 3 * SIDE, z03);
        preActivations.set(out + 1 * latents + 0 * SIDE, z10);
        preActivations.set(out + 1 * latents + 1 * SIDE, z11);
        preActivations.set(out + 1 * latents + 2 * SIDE, z12);
        preActivations.set(out + 1 * latents + 3 * SIDE, z13);
        preActivations.set(out + 2 * latents + 0 * SIDE, z20);
        preActivations.set(out + 2 * latents + 1 * SIDE, z21);
        preActivations.set(out + 2 * latents + 2 * SIDE, z22);
        preActivations.set(out + 2 * latents + 3 * SIDE, z23);
        preActivations.set(out + 3 * latents + 0 * SIDE, z30);
        preActivations.set(out + 3 * latents + 1 * SIDE, z31);
        preActivations.set(out + 3 * latents + 2 * SIDE, z32);
        preActivations.set(out + 3 * latents + 3 * SIDE, z33);
        if (thread == 0) {
            batch.set(BatchField.MULTIPLIED, batch.get(BatchField.WIDENED));
        }
    }

    /**
     * The budget's largest positive pre-activations of each row, ties to the lower index. Each thread holds the four best of its share of
     * the latents; round after round the group finds the best of all, whose owner moves on to its next, and looks for four more when it
     * has none left.
     *
     * <p>Device class: GPU. Launch: one group of {@link #SELECTORS} threads a row. Local memory: 512 bytes.
     *
     * <p>TornadoVM 5.2 loses a negation when a condition is of the form a || b && c and not a branch's own: there is none.
     *
     * @param preActivations {@code [capacity, latents]}; what is taken is overwritten
     * @param indices {@code [rows, budget]}
     * @param coefficients {@code [rows, budget]}
     * @param counts {@code [capacity + 1]}; the last receives the number of the batch that the product ran for
     * @param latents of one row
     * @param capacity rows that fit
     */
    static void selectLargest(
            KernelContext context,
            IntArray batch,
            FloatArray preActivations,
            IntArray indices,
            FloatArray coefficients,
            IntArray counts,
            int latents,
            int capacity) {
        float[] best = context.allocateFloatLocalArray(SELECTORS);
        int[] owner = context.allocateIntLocalArray(SELECTORS);
        int thread = context.localIdx;
        int row = context.groupIdx;
        int budget = batch.get(BatchField.BUDGET);
        int count = 0;
        float v0 = 0f;
        float v1 = 0f;
        float v2 = 0f;
        float v3 = 0f;
        int i0 = latents;
        int i1 = latents;
        int i2 = latents;
        int i3 = latents;
        int more = 1;
        for (int pair = 0; pair < budget; pair++) {
            if (v0 == 0f && more == 1) {
                for (int i = thread; i < latents; i += SELECTORS) {
                    float value = preActivations.get(row * latents + i);
                    if (value > v3) {
                        // In order of index, so that of equal values the first stays in front.
                        boolean before0 = value > v0;
                        boolean before1 = value > v1;
                        boolean before2 = value > v2;
                        v3 = before2 ? v2 : value;
                        i3 = before2 ? i2 : i;
                        v2 = before1 ? v1 : before2 ? value : v2;
                        i2 = before1 ? i1 : before2 ? i : i2;
                        v1 = before0 ? v0 : before1 ? value : v1;
                        i1 = before0 ? i0 : before1 ? i : i1;
                        v0 = before0 ? value : v0;
                        i0 = before0 ? i : i0;
                    }
                }
                more = v3 > 0f ? 1 : 0;
            }
            best[thread] = v0;
            owner[thread] = i0;
            context.localBarrier();
            for (int stride = SELECTORS / 2; stride > 0; stride = stride / 2) {
                if (thread < stride) {
                    float own = best[thread];
                    float other = best[thread + stride];
                    if (other > own || other == own && owner[thread + stride] < owner[thread]) {
                        best[thread] = other;
                        owner[thread] = owner[thread + stride];
                    }
                }
                context.localBarrier();
            }
            float value = best[0];
            int index = owner[0];
            context.localBarrier();
            // One thread holds this latent. Where none is left, index is what each empty one holds, and moving on
            // changes nothing.
            boolean mine = index == i0;
            count = value > 0f ? count + 1 : count;
            if (value > 0f) {
                if (mine) {
                    // Not to be found again when this thread looks for more.
                    preActivations.set(row * latents + index, 0f);
                }
            }
            // Conditional values and not a branch: at a branch's end the compiler writes such a row of moves in an
            // order of its own.
            v0 = mine ? v1 : v0;
            i0 = mine ? i1 : i0;
            v1 = mine ? v2 : v1;
            i1 = mine ? i2 : i1;
            v2 = mine ? v3 : v2;
            i2 = mine ? i3 : i2;
            v3 = mine ? 0f : v3;
            i3 = mine ? latents : i3;
            if (thread == 0) {
                indices.set(row * budget + pair, value > 0f ? index : 0);
                coefficients.set(row * budget + pair, value);
            }
        }
        if (thread == 0) {
            counts.set(row, count);
            counts.set(capacity, batch.get(BatchField.MULTIPLIED));
        }
    }

    /**
     * Makes the weights an input of a graph, which copies them to the device and leaves them there.
     *
     * <p>Device class: GPU. Launch: one thread.
     *
     * @param touched receives the number at {@code mark}
     */
    static void touch(KernelContext context, FloatArray weights, FloatArray touched, int mark) {
        touched.set(context.globalIdx, weights.get(mark));
    }
}
