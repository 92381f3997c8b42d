package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.collections.VectorFloat16;

/**
 * What the kernels of one plan read and write besides the weights; off-heap, made once, as large as the largest chunk.
 *
 * @param rows rows of the largest chunk
 * @param budget most pairs kept of a row
 * @param depth floats of a centred vector, filling included
 * @param stride floats from one vector to the next
 * @param panels panels of a dictionary
 * @param batch {@link BatchField}s
 * @param vectors {@code [rows, stride]}
 * @param preActivations {@code [rows, latents]}, never copied back
 * @param maxima scratch of the CPU's selection
 * @param indices {@code [rows of the batch, budget of the batch]}
 * @param coefficients {@code [rows of the batch, budget of the batch]}
 * @param counts {@code [rows + 1]}, the last of them the number of the batch that the product ran for
 */
record PlanBuffers(
        int rows,
        int budget,
        int depth,
        int stride,
        int panels,
        IntArray batch,
        FloatArray vectors,
        VectorFloat16 preActivations,
        FloatArray maxima,
        IntArray indices,
        FloatArray coefficients,
        IntArray counts) {
    static PlanBuffers allocate(int rows, int budget, int depth, int stride, int panels) {
        int latents = panels * DictionaryBank.PANEL;
        return new PlanBuffers(
                rows,
                budget,
                depth,
                stride,
                panels,
                new IntArray(BatchField.COUNT),
                new FloatArray(rows * stride),
                new VectorFloat16(new FloatArray(Math.multiplyExact(rows, latents))),
                new FloatArray(rows * (latents / CpuKernels.GROUP)),
                new IntArray(rows * budget),
                new FloatArray(rows * budget),
                new IntArray(rows + 1));
    }

    /** Pre-activations of a row, those of filling latents included. */
    int latents() {
        return panels * DictionaryBank.PANEL;
    }
}
