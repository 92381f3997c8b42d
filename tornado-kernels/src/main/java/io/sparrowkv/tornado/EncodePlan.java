package io.sparrowkv.tornado;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicInteger;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.TornadoExecutionPlan;
import uk.ac.manchester.tornado.api.TornadoExecutionResult;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.enums.ProfilerMode;
import uk.ac.manchester.tornado.api.exceptions.TornadoExecutionPlanException;
import uk.ac.manchester.tornado.api.exceptions.TornadoInternalError;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/**
 * The compiled encode of one bank's dictionaries on one device: a graph that copies the weights there, where they stay, and one that
 * takes a chunk of centred vectors there, multiplies, selects, and brings the codes back. Which dictionary, how many rows and what
 * budget are data of a chunk, so that one compilation serves all sites and batches.
 *
 * <p>Used by one thread, always the same: see {@link DeviceThread}.
 */
final class EncodePlan implements AutoCloseable {
    /** Names of the graphs. */
    static final String UPLOAD = "upload";

    static final String ENCODE = "encode";

    private static final int UPLOAD_INDEX = 0;
    private static final int ENCODE_INDEX = 1;
    private static final int LEAST_ROWS = 64;
    private static final int MOST_ROWS = 2048;

    /** States: nothing under way, the device at work, and given up by {@link #abandon}. */
    private static final int IDLE = 0;

    private static final int AT_WORK = 1;
    private static final int ABANDONED = 2;

    private final DictionaryBank bank;
    private final KernelPair kernels;
    private final PlanBuffers buffers;
    private final FloatArray touched = new FloatArray(1);
    private final TornadoExecutionPlan plan;
    private final AtomicInteger state = new AtomicInteger(IDLE);
    private final AtomicInteger steps = new AtomicInteger();
    private int sequence;
    private boolean profiled;
    private long kernelNanos;
    private long transferNanos;
    private long compileNanos;

    /**
     * Lays out the graphs; they are compiled when first run.
     *
     * @param budget most pairs that will be asked for
     * @param chunkRows rows of a chunk, or 0 for as many as the device's cache is likely to hold
     */
    EncodePlan(TornadoDevice device, KernelPair kernels, DictionaryBank bank, int budget, int chunkRows) {
        this.bank = bank;
        this.kernels = kernels;
        long fitting = kernels.chunkBytes() / Float.BYTES / DictionaryBank.PANEL / bank.panels();
        int wanted = chunkRows > 0 ? chunkRows : (int) Math.clamp(fitting, LEAST_ROWS, MOST_ROWS);
        int rows = Math.ceilDiv(wanted, kernels.rowStep()) * kernels.rowStep();
        this.buffers = PlanBuffers.allocate(rows, budget, bank.depth(), kernels.stride(bank.depth()), bank.panels());
        Object resident = bank.half() ? bank.halves() : kernels.weights(bank.floats());

        TaskGraph upload = new TaskGraph(UPLOAD).transferToDevice(DataTransferMode.EVERY_EXECUTION, resident);
        if (bank.half()) {
            upload.task("touch", HalfFloats::touch, bank.halves(), touched, bank.markIndex());
        } else {
            kernels.addTouch(upload, resident, touched, bank.markIndex());
        }
        upload.transferToHost(DataTransferMode.EVERY_EXECUTION, touched).persistOnDevice(resident);

        TaskGraph encode = new TaskGraph(ENCODE)
                .consumeFromDevice(UPLOAD, resident)
                .transferToDevice(DataTransferMode.EVERY_EXECUTION, buffers.batch(), buffers.vectors());
        kernels.addEncode(encode, bank.half() ? widened(encode) : resident, buffers);
        encode.transferToHost(
                DataTransferMode.EVERY_EXECUTION, buffers.indices(), buffers.coefficients(), buffers.counts());

        this.plan = new TornadoExecutionPlan(upload.snapshot(), encode.snapshot());
        plan.withDevice(device);
        if (!kernels.grid().keySet().isEmpty()) {
            kernels.launch(rows);
            plan.withGridScheduler(kernels.grid());
        }
    }

    /** Adds the widening of the batch's dictionary, and returns what it is widened to. */
    private Object widened(TaskGraph encode) {
        FloatArray weights = new FloatArray(bank.slotSize());
        FloatArray scales = HalfFloats.scales();
        encode.transferToDevice(DataTransferMode.FIRST_EXECUTION, weights, scales)
                .task("widen", HalfFloats::widen, buffers.batch(), bank.halves(), scales, weights, bank.slotSize());
        return kernels.weights(weights);
    }

    /** Rows of the largest chunk. */
    int rows() {
        return buffers.rows();
    }

    /** Most pairs that can be asked for. */
    int budget() {
        return buffers.budget();
    }

    /**
     * Copies the bank's weights to the device.
     *
     * @throws DeviceFailedException when the device did not take them
     */
    void upload() {
        touched.set(0, Float.NaN);
        begin();
        execute(UPLOAD_INDEX);
        end();
        if (touched.get(0) != bank.lastMark()) {
            throw new DeviceFailedException("the weights did not arrive", null);
        }
    }

    /** Encodes whatever vector there is for nothing, so that everything is compiled. */
    void warm() {
        buffers.batch().set(BatchField.BUDGET, 1);
        buffers.batch().set(BatchField.SLOT, 0);
        buffers.batch().set(BatchField.PLACE, 0);
        launch(1);
    }

    /**
     * Encodes a chunk of a batch.
     *
     * @param slot the dictionary's place in the bank
     * @param codes shaped for the batch's rows and budget
     * @param from first row of the chunk
     * @return the first row of the chunk that holds NaN or infinity, and then nothing was encoded, or {@link CentredRows#NO_ROW}
     * @throws DeviceFailedException when the device failed
     */
    int encode(Dictionary dictionary, int slot, MemorySegment vectors, CodeBatch codes, int from) {
        int rows = Math.min(buffers.rows(), codes.rows() - from);
        int bad = CentredRows.write(
                vectors,
                from,
                rows,
                dictionary.dHead(),
                dictionary.decoderBias(),
                buffers.vectors().getSegment(),
                buffers.stride());
        if (bad != CentredRows.NO_ROW) {
            return bad;
        }
        buffers.batch().set(BatchField.BUDGET, codes.budget());
        buffers.batch().set(BatchField.SLOT, slot);
        buffers.batch().set(BatchField.PLACE, bank.half() ? 0 : slot);
        launch(rows);
        copy(codes, from, rows);
        return CentredRows.NO_ROW;
    }

    private void launch(int rows) {
        buffers.batch().set(BatchField.ROWS, rows);
        buffers.batch().set(BatchField.SEQUENCE, ++sequence);
        buffers.batch().set(BatchField.WIDENED, bank.half() ? 0 : sequence);
        buffers.batch().set(BatchField.MULTIPLIED, 0);
        begin();
        kernels.launch(rows);
        execute(ENCODE_INDEX);
        end();
        int stamp = buffers.counts().get(buffers.rows());
        if (stamp != sequence) {
            throw new DeviceFailedException(
                    "a kernel did not run (batch %d came back as %d)".formatted(sequence, stamp), null);
        }
    }

    /** Counts what the device was asked for and has done; for other threads, to see it get on. */
    int steps() {
        return steps.get();
    }

    /**
     * Gives up waiting for the device; for another thread. If it comes back after all, its thread touches neither vectors nor codes.
     *
     * @return whether the device was at work; otherwise nothing changes
     */
    boolean abandon() {
        return state.compareAndSet(AT_WORK, ABANDONED);
    }

    /** Has the device's clock read from now on, or no longer; the times begin at zero. */
    void profile(boolean on) {
        if (on) {
            plan.withProfiler(ProfilerMode.SILENT);
        } else {
            plan.withoutProfiler();
        }
        profiled = on;
        kernelNanos = 0;
        transferNanos = 0;
        compileNanos = 0;
    }

    /** Time in kernels since {@link #profile}, in ns. */
    long kernelNanos() {
        return kernelNanos;
    }

    /** Time in copies to and from the device since {@link #profile}, in ns. */
    long transferNanos() {
        return transferNanos;
    }

    /** Time spent on compiling kernels since {@link #profile}, in ns. */
    long compileNanos() {
        return compileNanos;
    }

    @Override
    public void close() {
        try {
            plan.close();
        } catch (TornadoExecutionPlanException e) {
            throw new DeviceFailedException(e.getMessage(), e);
        }
    }

    private void begin() {
        if (!state.compareAndSet(IDLE, AT_WORK)) {
            throw new DeviceFailedException("it was given up before", null);
        }
        steps.incrementAndGet();
    }

    private void end() {
        steps.incrementAndGet();
        if (!state.compareAndSet(AT_WORK, IDLE)) {
            throw new DeviceFailedException("it answered too late", null);
        }
    }

    private void execute(int graph) {
        try {
            TornadoExecutionResult result = plan.withGraph(graph).execute();
            if (profiled) {
                kernelNanos += result.getProfilerResult().getDeviceKernelTime();
                transferNanos += result.getProfilerResult().getDataTransfersTime();
                compileNanos += result.getProfilerResult().getCompileTime();
            }
        } catch (RuntimeException | TornadoInternalError e) {
            throw new DeviceFailedException(e.getMessage(), e);
        }
    }

    private void copy(CodeBatch codes, int from, int rows) {
        long pairs = (long) rows * codes.budget() * Integer.BYTES;
        long at = (long) from * codes.budget() * Integer.BYTES;
        MemorySegment.copy(buffers.indices().getSegment(), 0, codes.indices(), at, pairs);
        MemorySegment.copy(buffers.coefficients().getSegment(), 0, codes.coefficients(), at, pairs);
        MemorySegment.copy(
                buffers.counts().getSegment(),
                0,
                codes.counts(),
                (long) from * Integer.BYTES,
                (long) rows * Integer.BYTES);
    }
}
