package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.WorkerGrid2D;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/** {@link GpuKernels#multiply}, tiles in local memory. */
final class TiledProduct implements GpuProduct {
    private final int panels;
    private final WorkerGrid multiply = new WorkerGrid2D(GpuKernels.SIDE, GpuKernels.SIDE);

    /** @param panels of one dictionary */
    TiledProduct(int panels) {
        this.panels = panels;
        multiply.setLocalWork(GpuKernels.SIDE, GpuKernels.SIDE, 1);
    }

    @Override
    public void add(TaskGraph graph, FloatArray weights, PlanBuffers buffers) {
        graph.task(
                "multiply",
                GpuKernels::multiply,
                new KernelContext(),
                buffers.batch(),
                weights,
                buffers.vectors(),
                buffers.preActivations().getArray(),
                buffers.depth(),
                buffers.panels());
    }

    @Override
    public void schedule(GridScheduler grid) {
        grid.addWorkerGrid(EncodePlan.ENCODE + ".multiply", multiply);
    }

    @Override
    public void launch(int rows) {
        multiply.setGlobalWork(
                (long) panels * GpuKernels.SIDE, (long) Math.ceilDiv(rows, GpuKernels.TILE_ROWS) * GpuKernels.SIDE, 1);
    }
}
