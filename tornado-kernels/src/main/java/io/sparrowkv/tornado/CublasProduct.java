package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/** {@link CublasKernels}: the dictionary brought into order, and the library's product. */
final class CublasProduct implements GpuProduct {
    private static final float ONE = 1f;

    private final Library library;

    /** Adds a product of two row-major matrices to a graph. */
    interface Library {
        /** cuBLAS's. */
        Library CUBLAS = (graph, columns, vectors, preActivations, latents, rows, depth) -> graph.libraryTask(
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

    CublasProduct(Library library) {
        this.library = library;
    }

    @Override
    public int stride(int depth) {
        return depth + CublasKernels.BIAS_DIMENSIONS;
    }

    @Override
    public void add(TaskGraph graph, FloatArray weights, PlanBuffers buffers) {
        FloatArray columns = new FloatArray(buffers.stride() * buffers.latents());
        for (int row = 0; row < buffers.rows(); row++) {
            buffers.vectors().set(row * buffers.stride() + buffers.depth(), ONE);
        }
        graph.transferToDevice(DataTransferMode.FIRST_EXECUTION, columns)
                .task(
                        "arrange",
                        CublasKernels::arrange,
                        buffers.batch(),
                        weights,
                        columns,
                        buffers.depth(),
                        buffers.panels());
        // The library's geometry is part of the graph: always the whole chunk, whatever the batch fills of it.
        library.add(
                graph,
                columns,
                buffers.vectors(),
                buffers.preActivations().getArray(),
                buffers.latents(),
                buffers.rows(),
                buffers.stride());
    }

    @Override
    public void schedule(GridScheduler grid) {
        // The kernel's own loops give its geometry, and the library has its own.
    }

    @Override
    public void launch(int rows) {
        // As above.
    }
}
