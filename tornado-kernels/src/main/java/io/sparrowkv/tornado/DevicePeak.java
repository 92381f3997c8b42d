package io.sparrowkv.tornado;

import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.TornadoExecutionPlan;
import uk.ac.manchester.tornado.api.TornadoExecutionResult;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.enums.ProfilerMode;
import uk.ac.manchester.tornado.api.exceptions.TornadoExecutionPlanException;
import uk.ac.manchester.tornado.api.exceptions.TornadoInternalError;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.collections.VectorFloat16;
import uk.ac.manchester.tornado.api.types.vectors.Float16;

/** The most that a device's multiply-add units give to a kernel that TornadoVM compiles: sums in registers alone, by the device's clock. */
final class DevicePeak {
    private static final String GRAPH = "peak";
    private static final int GROUP = 64;
    private static final int THREADS = 1 << 17;
    private static final int ITEMS = 1 << 8;
    private static final int LANES = 16;
    private static final int STEPS = 1 << 12;
    private static final int SUMS = 8;

    /** Twice as many for a CPU, whose drivers may leave product and sum two instructions, and so take twice as long for a step. */
    private static final int WIDE_SUMS = 16;

    private static final int ROUNDS = 20;

    private DevicePeak() {}

    /**
     * Billions of floating-point operations a second, of the fastest of several launches: what else the machine does only takes from it.
     *
     * @param cpu whether the device wants wide vectors rather than many threads
     * @throws DeviceFailedException when the device does not run it
     */
    static double gigaflops(TornadoDevice device, boolean cpu) {
        TaskGraph graph = new TaskGraph(GRAPH);
        GridScheduler grid = new GridScheduler();
        double operations;
        if (cpu) {
            VectorFloat16 out = new VectorFloat16(ITEMS);
            graph.task("multiplyAdd", DevicePeak::multiplyAddVectors, out, STEPS)
                    .transferToHost(DataTransferMode.UNDER_DEMAND, out);
            operations = 2.0 * WIDE_SUMS * STEPS * ITEMS * LANES;
        } else {
            FloatArray out = new FloatArray(THREADS);
            graph.task("multiplyAdd", DevicePeak::multiplyAdd, new KernelContext(), out, STEPS)
                    .transferToHost(DataTransferMode.UNDER_DEMAND, out);
            WorkerGrid worker = new WorkerGrid1D(THREADS);
            worker.setLocalWork(GROUP, 1, 1);
            grid.addWorkerGrid(GRAPH + ".multiplyAdd", worker);
            operations = 2.0 * SUMS * STEPS * THREADS;
        }
        try (TornadoExecutionPlan plan = new TornadoExecutionPlan(graph.snapshot())) {
            plan.withDevice(device).withProfiler(ProfilerMode.SILENT);
            if (!cpu) {
                plan.withGridScheduler(grid);
            }
            plan.execute();
            double best = 0;
            for (int round = 0; round < ROUNDS; round++) {
                TornadoExecutionResult result = plan.execute();
                best = Math.max(best, operations / result.getProfilerResult().getDeviceKernelTime());
            }
            return best;
        } catch (TornadoExecutionPlanException | RuntimeException | TornadoInternalError e) {
            throw new DeviceFailedException(e.getMessage(), e);
        }
    }

    /**
     * Sums of multiples, each thread on its own.
     *
     * <p>Device class: GPU. Launch: one-dimensional groups of {@link #GROUP} threads.
     *
     * @param out receives every thread's sum, so that none can be left out
     */
    static void multiplyAdd(KernelContext context, FloatArray out, int steps) {
        float factor = 0.999f;
        float addend = context.globalIdx;
        float s0 = addend;
        float s1 = addend + 1f;
        float s2 = addend + 2f;
        float s3 = addend + 3f;
        float s4 = addend + 4f;
        float s5 = addend + 5f;
        float s6 = addend + 6f;
        float s7 = addend + 7f;
        for (int i = 0; i < steps; i++) {
            s0 = s0 * factor + addend;
            s1 = s1 * factor + addend;
            s2 = s2 * factor + addend;
            s3 = s3 * factor + addend;
            s4 = s4 * factor + addend;
            s5 = s5 * factor + addend;
            s6 = s6 * factor + addend;
            s7 = s7 * factor + addend;
        }
        out.set(context.globalIdx, s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7);
    }

    /**
     * The same in wide vectors, for few work items.
     *
     * <p>Device class: CPU. Launch: the parallel loop.
     *
     * @param out receives every item's sums
     */
    static void multiplyAddVectors(VectorFloat16 out, int steps) {
        for (@Parallel int item = 0; item < out.getLength(); item++) {
            Float16 factor = CpuKernels.broadcast(0.999f);
            Float16 addend = CpuKernels.broadcast(item);
            Float16 s0 = CpuKernels.broadcast(item + 1f);
            Float16 s1 = CpuKernels.broadcast(item + 2f);
            Float16 s2 = CpuKernels.broadcast(item + 3f);
            Float16 s3 = CpuKernels.broadcast(item + 4f);
            Float16 s4 = CpuKernels.broadcast(item + 5f);
            Float16 s5 = CpuKernels.broadcast(item + 6f);
            Float16 s6 = CpuKernels.broadcast(item + 7f);
            Float16 s7 = CpuKernels.broadcast(item + 8f);
            Float16 s8 = CpuKernels.broadcast(item + 9f);
            Float16 s9 = CpuKernels.broadcast(item + 10f);
            Float16 s10 = CpuKernels.broadcast(item + 11f);
            Float16 s11 = CpuKernels.broadcast(item + 12f);
            Float16 s12 = CpuKernels.broadcast(item + 13f);
            Float16 s13 = CpuKernels.broadcast(item + 14f);
            Float16 s14 = CpuKernels.broadcast(item + 15f);
            Float16 s15 = CpuKernels.broadcast(item + 16f);
            for (int i = 0; i < steps; i++) {
                s0 = Float16.add(addend, Float16.mult(s0, factor));
                s1 = Float16.add(addend, Float16.mult(s1, factor));
                s2 = Float16.add(addend, Float16.mult(s2, factor));
                s3 = Float16.add(addend, Float16.mult(s3, factor));
                s4 = Float16.add(addend, Float16.mult(s4, factor));
                s5 = Float16.add(addend, Float16.mult(s5, factor));
                s6 = Float16.add(addend, Float16.mult(s6, factor));
                s7 = Float16.add(addend, Float16.mult(s7, factor));
                s8 = Float16.add(addend, Float16.mult(s8, factor));
                s9 = Float16.add(addend, Float16.mult(s9, factor));
                s10 = Float16.add(addend, Float16.mult(s10, factor));
                s11 = Float16.add(addend, Float16.mult(s11, factor));
                s12 = Float16.add(addend, Float16.mult(s12, factor));
                s13 = Float16.add(addend, Float16.mult(s13, factor));
                s14 = Float16.add(addend, Float16.mult(s14, factor));
                s15 = Float16.add(addend, Float16.mult(s15, factor));
            }
            s0 = Float16.add(s0, s8);
            s1 = Float16.add(s1, s9);
            s2 = Float16.add(s2, s10);
            s3 = Float16.add(s3, s11);
            s4 = Float16.add(s4, s12);
            s5 = Float16.add(s5, s13);
            s6 = Float16.add(s6, s14);
            s7 = Float16.add(s7, s15);
            Float16 sum = Float16.add(
                    Float16.add(Float16.add(s0, s1), Float16.add(s2, s3)),
                    Float16.add(Float16.add(s4, s5), Float16.add(s6, s7)));
            out.set(item, sum);
        }
    }
}
