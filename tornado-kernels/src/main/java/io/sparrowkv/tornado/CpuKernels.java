package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.collections.VectorFloat16;
import uk.ac.manchester.tornado.api.types.vectors.Float16;

/**
 * The kernels for CPU devices, such as PoCL: wide tiles of explicit vectors, one work item a tile, since a CPU's compiler makes little
 * of many narrow work items. They are plain Java as well, with {@link Parallel} loops as loops.
 *
 * <p>Weights are a {@link DictionaryBank}'s, vectors are centred rows of {@code depth} floats.
 */
final class CpuKernels {
    /** Rows of a tile of the product. */
    static final int TILE_ROWS = 4;

    /** Latents of a group whose maximum is looked at before its members. */
    static final int GROUP = 32;

    private static final int LANES = 16;
    private static final int PANEL_VECTORS = DictionaryBank.PANEL / LANES;

    private CpuKernels() {}

    /**
     * Pre-activations before the ReLU, {@code [capacity, latents]}: row · weight + bias.
     *
     * <p>Device class: CPU. Launch: the two parallel loops, one work item for each tile of {@link #TILE_ROWS} rows and one panel of
     * {@link DictionaryBank#PANEL} latents. Multiply and add stay two operations, since TornadoVM has no fused one for vectors.
     *
     * @param batch {@link BatchField}s; receives the number of the batch it ran for
     * @param weights {@code [slots, panels, 1 + depth, PANEL]}
     * @param vectors {@code [capacity, depth]}
     * @param panels panels of one dictionary
     * @param rowTiles capacity in tiles
     */
    static void multiply(
            IntArray batch,
            VectorFloat16 weights,
            FloatArray vectors,
            VectorFloat16 preActivations,
            int depth,
            int panels,
            int rowTiles) {
        for (@Parallel int panel = 0; panel < panels; panel++) {
            for (@Parallel int tile = 0; tile < rowTiles; tile++) {
                if (tile * TILE_ROWS < batch.get(BatchField.ROWS)) {
                    int bias = (batch.get(BatchField.PLACE) * panels + panel) * (depth + 1) * PANEL_VECTORS;
                    int first = bias + PANEL_VECTORS;
                    int x0 = tile * TILE_ROWS * depth;
                    int x1 = x0 + depth;
                    int x2 = x1 + depth;
                    int x3 = x2 + depth;
                    Float16 z00 = weights.get(bias + 0);
                    Float16 z01 = weights.get(bias + 1);
                    Float16 z02 = weights.get(bias + 2);
                    Float16 z03 = weights.get(bias + 3);
                    Float16 z10 = weights.get(bias + 0);
                    Float16 z11 = weights.get(bias + 1);
                    Float16 z12 = weights.get(bias + 2);
                    Float16 z13 = weights.get(bias + 3);
                    Float16 z20 = weights.get(bias + 0);
                    Float16 z21 = weights.get(bias + 1);
                    Float16 z22 = weights.get(bias + 2);
                    Float16 z23 = weights.get(bias + 3);
                    Float16 z30 = weights.get(bias + 0);
                    Float16 z31 = weights.get(bias + 1);
                    Float16 z32 = weights.get(bias + 2);
                    Float16 z33 = weights.get(bias + 3);
                    for (int i = 0; i < depth; i++) {
                        Float16 w0 = weights.get(first + i * PANEL_VECTORS + 0);
                        Float16 w1 = weights.get(first + i * PANEL_VECTORS + 1);
                        Float16 w2 = weights.get(first + i * PANEL_VECTORS + 2);
                        Float16 w3 = weights.get(first + i * PANEL_VECTORS + 3);
                        Float16 b0 = broadcast(vectors.get(x0 + i));
                        z00 = Float16.add(z00, Float16.mult(w0, b0));
                        z01 = Float16.add(z01, Float16.mult(w1, b0));
                        z02 = Float16.add(z02, Float16.mult(w2, b0));
                        z03 = Float16.add(z03, Float16.mult(w3, b0));
                        Float16 b1 = broadcast(vectors.get(x1 + i));
                        z10 = Float16.add(z10, Float16.mult(w0, b1));
                        z11 = Float16.add(z11, Float16.mult(w1, b1));
                        z12 = Float16.add(z12, Float16.mult(w2, b1));
                        z13 = Float16.add(z13, Float16.mult(w3, b1));
                        Float16 b2 = broadcast(vectors.get(x2 + i));
                        z20 = Float16.add(z20, Float16.mult(w0, b2));
                        z21 = Float16.add(z21, Float16.mult(w1, b2));
                        z22 = Float16.add(z22, Float16.mult(w2, b2));
                        z23 = Float16.add(z23, Float16.mult(w3, b2));
                        Float16 b3 = broadcast(vectors.get(x3 + i));
                        z30 = Float16.add(z30, Float16.mult(w0, b3));
                        z31 = Float16.add(z31, Float16.mult(w1, b3));
                        z32 = Float16.add(z32, Float16.mult(w2, b3));
                        z33 = Float16.add(z33, Float16.mult(w3, b3));
                    }
                    int stride = panels * PANEL_VECTORS;
                    int out0 = tile * TILE_ROWS * stride + panel * PANEL_VECTORS;
                    int out1 = out0 + stride;
                    int out2 = out1 + stride;
                    int out3 = out2 + stride;
                    preActivations.set(out0 + 0, z00);
                    preActivations.set(out0 + 1, z01);
                    preActivations.set(out0 + 2, z02);
                    preActivations.set(out0 + 3, z03);
                    preActivations.set(out1 + 0, z10);
                    preActivations.set(out1 + 1, z11);
                    preActivations.set(out1 + 2, z12);
                    preActivations.set(out1 + 3, z13);
                    preActivations.set(out2 + 0, z20);
                    preActivations.set(out2 + 1, z21);
                    preActivations.set(out2 + 2, z22);
                    preActivations.set(out2 + 3, z23);
                    preActivations.set(out3 + 0, z30);
                    preActivations.set(out3 + 1, z31);
                    preActivations.set(out3 + 2, z32);
                    preActivations.set(out3 + 3, z33);
                }
            }
        }
        batch.set(BatchField.MULTIPLIED, batch.get(BatchField.WIDENED));
    }

    /**
     * The budget's largest positive pre-activations of each row, ties to the lower index, in two passes: the K-th largest of the
     * groups' maxima is a lower bound of the K-th largest value, so that only groups that reach it are looked into.
     *
     * <p>Device class: CPU. Launch: the parallel loop, one work item a row.
     *
     * @param preActivations {@code [capacity, latents]}
     * @param maxima scratch, {@code [capacity, latents / GROUP]}
     * @param indices {@code [rows, budget]}
     * @param coefficients {@code [rows, budget]}
     * @param counts {@code [capacity + 1]}; the last receives the number of the batch that the product ran for
     * @param latents of one row, a multiple of {@link #GROUP}
     * @param capacity rows that fit
     */
    static void selectLargest(
            IntArray batch,
            VectorFloat16 preActivations,
            FloatArray maxima,
            IntArray indices,
            FloatArray coefficients,
            IntArray counts,
            int latents,
            int capacity) {
        for (@Parallel int row = 0; row < capacity; row++) {
            if (row < batch.get(BatchField.ROWS)) {
                FloatArray z = preActivations.getArray();
                int budget = batch.get(BatchField.BUDGET);
                int out = row * budget;
                int last = out + budget - 1;
                int groups = latents / GROUP;
                for (int pair = 0; pair < budget; pair++) {
                    coefficients.set(out + pair, 0f);
                }
                for (int group = 0; group < groups; group++) {
                    int from = row * latents + group * GROUP;
                    float largest = 0f;
                    for (int i = 0; i < GROUP; i++) {
                        largest = Math.max(largest, z.get(from + i));
                    }
                    maxima.set(row * groups + group, largest);
                    if (largest > coefficients.get(last)) {
                        float carried = largest;
                        for (int pair = out; pair <= last; pair++) {
                            float kept = coefficients.get(pair);
                            coefficients.set(pair, Math.max(kept, carried));
                            carried = Math.min(kept, carried);
                        }
                    }
                }
                float bound = coefficients.get(last);
                for (int pair = out; pair <= last; pair++) {
                    coefficients.set(pair, 0f);
                    indices.set(pair, 0);
                }
                int count = 0;
                for (int group = 0; group < groups; group++) {
                    if (maxima.get(row * groups + group) >= bound) {
                        for (int i = 0; i < GROUP; i++) {
                            float value = z.get(row * latents + group * GROUP + i);
                            if (value >= bound && value > coefficients.get(last)) {
                                float carried = value;
                                int latent = group * GROUP + i;
                                count++;
                                for (int pair = out; pair <= last; pair++) {
                                    float kept = coefficients.get(pair);
                                    int index = indices.get(pair);
                                    // From its place on everything moves one down, equal values too.
                                    boolean up = value > kept;
                                    coefficients.set(pair, up ? carried : kept);
                                    indices.set(pair, up ? latent : index);
                                    carried = up ? kept : carried;
                                    latent = up ? index : latent;
                                }
                            }
                        }
                    }
                }
                counts.set(row, Math.min(count, budget));
            }
        }
        counts.set(capacity, batch.get(BatchField.MULTIPLIED));
    }

    /**
     * Makes the weights an input of a graph, which copies them to the device and leaves them there.
     *
     * <p>Device class: CPU. Launch: one work item.
     *
     * @param touched receives the number at {@code mark}
     */
    static void touch(VectorFloat16 weights, FloatArray touched, int mark) {
        for (@Parallel int i = 0; i < 1; i++) {
            touched.set(i, weights.getArray().get(mark));
        }
    }

    static Float16 broadcast(float x) {
        return new Float16(x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x);
    }
}
