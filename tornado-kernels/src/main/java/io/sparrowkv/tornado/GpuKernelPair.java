package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.WorkerGrid2D;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/** {@link GpuKernels}. */
final class GpuKernelPair implements KernelPair {
    private final int panels;
    private final WorkerGrid multiply = new WorkerGrid2D(GpuKernels.SIDE, GpuKernels.SIDE);
    private final WorkerGrid select = new WorkerGrid1D(GpuKernels.SELECTORS);
    private final GridScheduler grid = new GridScheduler();

    GpuKernelPair(int panels) {
        this.panels = panels;
        WorkerGrid touch = new WorkerGrid1D(1);
        touch.setLocalWork(1, 1, 1);
        multiply.setLocalWork(GpuKernels.SIDE, GpuKernels.SIDE, 1);
        select.setLocalWork(GpuKernels.SELECTORS, 1, 1);
        grid.addWorkerGrid(EncodePlan.UPLOAD + ".touch", touch);
        grid.addWorkerGrid(EncodePlan.ENCODE + ".multiply", multiply);
        grid.addWorkerGrid(EncodePlan.ENCODE + ".selectLargest", select);
    }

    @Override
    public long chunkBytes() {
        return 32 << 20;
    }

    @Override
    public int rowStep() {
        return GpuKernels.TILE_ROWS;
    }

    @Override
    public int lanes() {
        return 2;
    }

    @Override
    public Object weights(FloatArray packed) {
        return packed;
    }

    @Override
    public void addTouch(TaskGraph graph, Object weights, FloatArray touched) {
        graph.task("touch", GpuKernels::touch, new KernelContext(), (FloatArray) weights, touched);
    }

    @Override
    public void addEncode(TaskGraph graph, Object weights, PlanBuffers buffers) {
        FloatArray preActivations = buffers.preActivations().getArray();
        graph.transferToDevice(DataTransferMode.FIRST_EXECUTION, preActivations, buffers.stamp())
                .task(
                        "multiply",
                        GpuKernels::multiply,
                        new KernelContext(),
                        buffers.batch(),
                        (FloatArray) weights,
                        buffers.vectors(),
                        preActivations,
                        buffers.stamp(),
                        buffers.depth(),
                        buffers.panels())
                .task(
                        "selectLargest",
                        GpuKernels::selectLargest,
                        new KernelContext(),
                        buffers.batch(),
                        preActivations,
                        buffers.stamp(),
                        buffers.indices(),
                        buffers.coefficients(),
                        buffers.counts(),
                        buffers.latents(),
                        buffers.rows());
    }

    @Override
    public void launch(int rows) {
        multiply.setGlobalWork(
                (long) panels * GpuKernels.SIDE, (long) Math.ceilDiv(rows, GpuKernels.TILE_ROWS) * GpuKernels.SIDE, 1);
        select.setGlobalWork((long) rows * GpuKernels.SELECTORS, 1, 1);
    }

    @Override
    public GridScheduler grid() {
        return grid;
    }
}
