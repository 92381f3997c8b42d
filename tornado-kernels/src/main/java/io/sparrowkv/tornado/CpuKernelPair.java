package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.collections.VectorFloat16;

/** {@link CpuKernels}. */
final class CpuKernelPair implements KernelPair {
    private final GridScheduler grid = new GridScheduler();

    @Override
    public long chunkBytes() {
        return 4 << 20;
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
    public void addTouch(TaskGraph graph, Object weights, FloatArray touched, int mark) {
        graph.task("touch", CpuKernels::touch, (VectorFloat16) weights, touched, mark);
    }

    @Override
    public void addEncode(TaskGraph graph, Object weights, PlanBuffers buffers) {
        graph.transferToDevice(DataTransferMode.FIRST_EXECUTION, buffers.preActivations(), buffers.maxima())
                .task(
                        "multiply",
                        CpuKernels::multiply,
                        buffers.batch(),
                        (VectorFloat16) weights,
                        buffers.vectors(),
                        buffers.preActivations(),
                        buffers.depth(),
                        buffers.panels(),
                        buffers.rows() / CpuKernels.TILE_ROWS)
                .task(
                        "selectLargest",
                        CpuKernels::selectLargest,
                        buffers.batch(),
                        buffers.preActivations(),
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
