package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/** One way for a GPU to come from vectors to pre-activations; {@link GpuKernelPair} adds the selection. */
interface GpuProduct {
    /** Floats from one vector to the next, of which the first {@code depth} are the vector's. */
    default int stride(int depth) {
        return depth;
    }

    /**
     * Adds the product to a graph. It turns {@link BatchField#WIDENED} into {@link BatchField#MULTIPLIED}.
     *
     * @param weights {@code [slots, panels, 1 + depth, PANEL]}
     */
    void add(TaskGraph graph, FloatArray weights, PlanBuffers buffers);

    /** Adds the workers of the tasks whose geometry {@link #launch} sets. */
    void schedule(GridScheduler grid);

    /** Launch geometry for a chunk of that many rows. */
    void launch(int rows);
}
