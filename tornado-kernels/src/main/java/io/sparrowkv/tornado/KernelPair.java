package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.WorkerGrid2D;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.collections.VectorFloat16;

/** The product and the selection for one class of devices, as tasks over the buffers of a plan. */
sealed interface KernelPair {
    /** Most bytes of pre-activations of a chunk of rows: what the device's last-level cache is likely to hold. */
    long chunkBytes();

    /** Rows of a chunk are a multiple of it. */
    int rowStep();

    /** The weights as the kernels take them. */
    Object weights(FloatArray packed);

    /** Adds a task that reads the weights. */
    void addTouch(TaskGraph graph, Object weights, FloatArray touched);

    /** Adds the product and the selection, with the memory that they share. */
    void addEncode(TaskGraph graph, Object weights, PlanBuffers buffers);

    /** Launch geometry for a chunk of that many rows. */
    void launch(int rows);

    /** The geometry that {@link #launch} sets; without workers where the kernels' own loops give it. */
    GridScheduler grid();

    /** {@link CpuKernels}. */
    final class Cpu implements KernelPair {
        private final GridScheduler grid = new GridScheduler();

        @Override
        public long chunkBytes() {
            return 8 << 20;
        }

        @Override
        public int rowStep() {
            return CpuKernels.TILE_ROWS;
        }

        @Override
        public Object weights(FloatArray packed) {
            return new VectorFloat16(packed);
        }

        @Override
        public void addTouch(TaskGraph graph, Object weights, FloatArray touched) {
            graph.task("touch", CpuKernels::touch, (VectorFloat16) weights, touched);
        }

        @Override
        public void addEncode(TaskGraph graph, Object weights, PlanBuffers buffers) {
            graph.transferToDevice(
                            DataTransferMode.FIRST_EXECUTION,
                            buffers.preActivations(),
                            buffers.stamp(),
                            buffers.maxima())
                    .task(
                            "multiply",
                            CpuKernels::multiply,
                            buffers.batch(),
                            (VectorFloat16) weights,
                            buffers.vectors(),
                            buffers.preActivations(),
                            buffers.stamp(),
                            buffers.depth(),
                            buffers.panels(),
                            buffers.rows() / CpuKernels.TILE_ROWS)
                    .task(
                            "selectLargest",
                            CpuKernels::selectLargest,
                            buffers.batch(),
                            buffers.preActivations(),
                            buffers.stamp(),
                            buffers.maxima(),
                            buffers.indices(),
                            buffers.coefficients(),
                            buffers.counts(),
                            buffers.latents(),
                            buffers.rows());
        }

        @Override
        public void launch(int rows) {
            // The parallel loops run over the whole capacity; a work item past the last row ends at once.
        }

        @Override
        public GridScheduler grid() {
            return grid;
        }
    }

    /** {@link GpuKernels}. */
    final class Gpu implements KernelPair {
        private final int panels;
        private final WorkerGrid multiply = new WorkerGrid2D(GpuKernels.SIDE, GpuKernels.SIDE);
        private final WorkerGrid select = new WorkerGrid1D(GpuKernels.SELECTORS);
        private final GridScheduler grid = new GridScheduler();

        Gpu(int panels) {
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
                    (long) panels * GpuKernels.SIDE,
                    (long) Math.ceilDiv(rows, GpuKernels.TILE_ROWS) * GpuKernels.SIDE,
                    1);
            select.setGlobalWork((long) rows * GpuKernels.SELECTORS, 1, 1);
        }

        @Override
        public GridScheduler grid() {
            return grid;
        }
    }
}
