package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/** A product for GPUs, and the selection of {@link GpuKernels}. */
final class GpuKernelPair implements KernelPair {
    private final GpuProduct product;
    private final WorkerGrid select = new WorkerGrid1D(GpuKernels.SELECTORS);
    private final GridScheduler grid = new GridScheduler();

    GpuKernelPair(GpuProduct product) {
        this.product = product;
        select.setLocalWork(GpuKernels.SELECTORS, 1, 1);
        WorkerGrid touch = new WorkerGrid1D(1);
        touch.setLocalWork(1, 1, 1);
        grid.addWorkerGrid(EncodePlan.UPLOAD + ".touch", touch);
        grid.addWorkerGrid(EncodePlan.ENCODE + ".selectLargest", select);
        product.schedule(grid);
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
    public int stride(int depth) {
        return product.stride(depth);
    }

    @Override
    public Object weights(FloatArray packed) {
        return packed;
    }

    @Override
    public void addTouch(TaskGraph graph, Object weights, FloatArray touched, int mark) {
        graph.task("touch", GpuKernels::touch, new KernelContext(), (FloatArray) weights, touched, mark);
    }

    @Override
    public void addEncode(TaskGraph graph, Object weights, PlanBuffers buffers) {
        FloatArray preActivations = buffers.preActivations().getArray();
        graph.transferToDevice(DataTransferMode.FIRST_EXECUTION, preActivations);
        product.add(graph, (FloatArray) weights, buffers);
        graph.task(
                "selectLargest",
                GpuKernels::selectLargest,
                new KernelContext(),
                buffers.batch(),
                preActivations,
                buffers.indices(),
                buffers.coefficients(),
                buffers.counts(),
                buffers.latents(),
                buffers.rows());
    }

    @Override
    public void launch(int rows) {
        product.launch(rows);
        select.setGlobalWork((long) rows * GpuKernels.SELECTORS, 1, 1);
    }

    @Override
    public GridScheduler grid() {
        return grid;
    }
}
