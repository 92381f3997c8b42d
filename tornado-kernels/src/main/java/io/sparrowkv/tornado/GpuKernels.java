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
    static final int TILE_ROWS = 128;

    /** Floats from one dimension of the tile's vectors to the next: filled up, so that a group's writes meet all banks of local memory. */
    private static final int TILE_STRIDE = TILE_ROWS + 4;

    /** Rows whose floats of one step all threads of a group read at once, one float each. */
    private static final int STRIPE = SIDE * SIDE / DictionaryBank.DEPTH_STEP;

    /** Threads that select one row's code. */
    static final int SELECTORS = 64;

    private static final int STEP = DictionaryBank.DEPTH_STEP;
    private static final int PANEL = DictionaryBank.PANEL;

    private GpuKernels() {}

    /**
     * Pre-activations before the ReLU, {@code [capacity, latents]}: row · weight + bias.
     *
     * <p>Device class: GPU. Launch: groups of {@link #SIDE} × {@link #SIDE} threads, one group for each panel (x) and each tile of
     * {@link #TILE_ROWS} rows (y). Local memory: 6.1 KB.
     *
     * <p>A thread sums 8 rows × 4 latents: 32 multiply-adds for six reads of local memory (NVIDIA's compiler makes two of the eight rows)
     * keep a GPU's arithmetic busier than its local memory, which 4 × 4, with 16 for five, do not. Neighbours have neighbouring latents,
     * so that what they write at once is whole sectors of memory.
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
        float[] x = context.allocateFloatLocalArray(STEP * TILE_STRIDE);
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
        float z40 = b0;
        float z41 = b1;
        float z42 = b2;
        float z43 = b3;
        float z50 = b0;
        float z51 = b1;
        float z52 = b2;
        float z53 = b3;
        float z60 = b0;
        float z61 = b1;
        float z62 = b2;
        float z63 = b3;
        float z70 = b0;
        float z71 = b1;
        float z72 = b2;
        float z73 = b3;
        int dimension = thread % STEP;
        int row = thread / STEP;
        int source = (firstRow + row) * depth + dimension;
        float v0 = vectors.get(source);
        float v1 = vectors.get(source + STRIPE * depth);
        float v2 = vectors.get(source + 2 * STRIPE * depth);
        float v3 = vectors.get(source + 3 * STRIPE * depth);
        float u0 = weights.get(first + thread);
        float u1 = weights.get(first + thread + SIDE * SIDE);
        for (int step = 0; step < depth; step += STEP) {
            int place = dimension * TILE_STRIDE + row;
            x[place] = v0;
            x[place + STRIPE] = v1;
            x[place + 2 * STRIPE] = v2;
            x[place + 3 * STRIPE] = v3;
            w[thread] = u0;
            w[thread + SIDE * SIDE] = u1;
            context.localBarrier();
            // The next step's are on their way while this one's are multiplied.
            int ahead = Math.min(step + STEP, depth - STEP);
            v0 = vectors.get(source + ahead);
            v1 = vectors.get(source + ahead + STRIPE * depth);
            v2 = vectors.get(source + ahead + 2 * STRIPE * depth);
            v3 = vectors.get(source + ahead + 3 * STRIPE * depth);
            u0 = weights.get(first + ahead * PANEL + thread);
            u1 = weights.get(first + ahead * PANEL + thread + SIDE * SIDE);
            for (int i = 0; i < STEP; i++) {
                float x0 = x[i * TILE_STRIDE + line * 8 + 0];
                float x1 = x[i * TILE_STRIDE + line * 8 + 1];
                float x2 = x[i * TILE_STRIDE + line * 8 + 2];
                float x3 = x[i * TILE_STRIDE + line * 8 + 3];
                float x4 = x[i * TILE_STRIDE + line * 8 + 4];
                float x5 = x[i * TILE_STRIDE + line * 8 + 5];
                float x6 = x[i * TILE_STRIDE + line * 8 + 6];
                float x7 = x[i * TILE_STRIDE + line * 8 + 7];
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
                z40 = z40 + x4 * w0;
                z41 = z41 + x4 * w1;
                z42 = z42 + x4 * w2;
                z43 = z43 + x4 * w3;
                z50 = z50 + x5 * w0;
                z51 = z51 + x5 * w1;
                z52 = z52 + x5 * w2;
                z53 = z53 + x5 * w3;
                z60 = z60 + x6 * w0;
                z61 = z61 + x6 * w1;
                z62 = z62 + x6 * w2;
                z63 = z63 + x6 * w3;
                z70 = z70 + x7 * w0;
                z71 = z71 + x7 * w1;
                z72 = z72 + x7 * w2;
                z73 = z73 + x7 * w3;
            }
            context.localBarrier();
        }
        int latents = panels * PANEL;
        int out = (firstRow + line * 8) * latents + panel * PANEL + column;
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
        preActivations.set(out + 4 * latents + 0 * SIDE, z40);
        preActivations.set(out + 4 * latents + 1 * SIDE, z41);
        preActivations.set(out + 4 * latents + 2 * SIDE, z42);
        preActivations.set(out + 4 * latents + 3 * SIDE, z43);
        preActivations.set(out + 5 * latents + 0 * SIDE, z50);
        preActivations.set(out + 5 * latents + 1 * SIDE, z51);
        preActivations.set(out + 5 * latents + 2 * SIDE, z52);
        preActivations.set(out + 5 * latents + 3 * SIDE, z53);
        preActivations.set(out + 6 * latents + 0 * SIDE, z60);
        preActivations.set(out + 6 * latents + 1 * SIDE, z61);
        preActivations.set(out + 6 * latents + 2 * SIDE, z62);
        preActivations.set(out + 6 * latents + 3 * SIDE, z63);
        preActivations.set(out + 7 * latents + 0 * SIDE, z70);
        preActivations.set(out + 7 * latents + 1 * SIDE, z71);
        preActivations.set(out + 7 * latents + 2 * SIDE, z72);
        preActivations.set(out + 7 * latents + 3 * SIDE, z73);
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
