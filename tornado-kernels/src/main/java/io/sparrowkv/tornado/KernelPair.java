package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/** The product and the selection for one class of devices, as tasks over the buffers of a plan. */
interface KernelPair {
    /** Most bytes of pre-activations of a chunk of rows: what the device's last-level cache is likely to hold. */
    long chunkBytes();

    /** Rows of a chunk are a multiple of it. */
    int rowStep();

    /** Floats from one vector to the next, of which the first {@code depth} are the vector's. */
    default int stride(int depth) {
        return depth;
    }

    /** The weights as the kernels take them. */
    Object weights(FloatArray packed);

    /**
     * Adds a task that reads one number of the weights.
     *
     * @param touched receives it
     * @param mark which
     */
    void addTouch(TaskGraph graph, Object weights, FloatArray touched, int mark);

    /**
     * Adds the product and the selection, with the memory that they share.
     *
     * @param weights what {@link #weights} gave
     */
    void addEncode(TaskGraph graph, Object weights, PlanBuffers buffers);

    /** Launch geometry for a chunk of that many rows. */
    void launch(int rows);

    /** The geometry that {@link #launch} sets; without workers where the kernels' own loops give it. */
    GridScheduler grid();
}
