package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/** {@link CublasKernels} for the product, and the selection of {@link GpuKernels}. */
final class CublasKernelPair implements KernelPair {
    private static final float ONE = 1f;

    private final Product product;
    private final WorkerGrid select = new WorkerGrid1D(GpuKernels.SELECTORS);
    private final GridScheduler grid = new GridScheduler();

    /** Adds the product of a chunk to a graph. */
    interface Product {
        /** cuBLAS's. */
        Product CUBLAS = (graph, columns, vectors, preActivations, latents, rows, depth) -> graph.libraryTask(
                "multiply", CublasKernels::multiply, columns, vectors, preActivations, latents, rows, depth);

        /**
         * @param columns {@code [depth, latents]}
         * @param vectors {@code [rows, depth]}
         * @param preActivations {@code [rows, latents]}
         */
        void add(
                TaskGraph graph,
                FloatArray columns,
                FloatArray vectors,
                FloatArray preActivations,
                int latents,
                int rows,
                int depth);
    }

    CublasKernelPair(Product product) {
        this.product = product;
        select.setLocalWork(GpuKernels.SELECTORS, 1, 1);
        WorkerGrid touch = new WorkerGrid1D(1);
        touch.setLocalWork(1, 1, 1);
        grid.addWorkerGrid(EncodePlan.UPLOAD + ".touch", touch);
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
    public int stride(int depth) {
        return depth + CublasKernels.BIAS_DIMENSIONS;
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
        FloatArray columns = new FloatArray(buffers.stride() * buffers.latents());
        for (int row = 0; row < buffers.rows(); row++) {
            buffers.vectors().set(row * buffers.stride() + buffers.depth(), ONE);
        }
        graph.transferToDevice(DataTransferMode.FIRST_EXECUTION, preActivations, buffers.stamp(), columns)
                .task(
                        "arrange",
                        CublasKernels::arrange,
                        buffers.batch(),
                        (FloatArray) weights,
                        columns,
                        buffers.stamp(),
                        buffers.depth(),
                        buffers.panels());
        // The library's geometry is part of the graph: always the whole chunk, whatever the batch fills of it.
        product.add(
                graph, columns, buffers.vectors(), preActivations, buffers.latents(), buffers.rows(), buffers.stride());
        graph.task(
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
        select.setGlobalWork((long) rows * GpuKernels.SELECTORS, 1, 1);
    }

    @Override
    public GridScheduler grid() {
        return grid;
    }
}
