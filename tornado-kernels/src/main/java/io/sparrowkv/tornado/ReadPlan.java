package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.CodedLayer;
import io.sparrowkv.attention.CodedSums;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import java.util.List;
import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.KernelContext;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.TornadoExecutionPlan;
import uk.ac.manchester.tornado.api.TornadoExecutionResult;
import uk.ac.manchester.tornado.api.WorkerGrid;
import uk.ac.manchester.tornado.api.WorkerGrid1D;
import uk.ac.manchester.tornado.api.WorkerGrid2D;
import uk.ac.manchester.tornado.api.common.TornadoDevice;
import uk.ac.manchester.tornado.api.enums.DataTransferMode;
import uk.ac.manchester.tornado.api.exceptions.TornadoExecutionPlanException;
import uk.ac.manchester.tornado.api.exceptions.TornadoInternalError;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

/**
 * The compiled reading of one layer's codes on one device. Dictionaries and codes lie there from the first launch on; a launch stores a
 * block, decodes one, or attends, by its {@link ReadField}s and by the geometry of its kernels: one graph, so that all kernels see the
 * same memory. What is not asked for has one group that finds nothing to do.
 *
 * <p>Used by one thread, always the same: see {@link DeviceThread}.
 */
final class ReadPlan implements AutoCloseable {
    private static final String GRAPH = "read";

    /** Most bytes of the sums by atom, of all parts. */
    private static final long MOST_SUM_BYTES = 64 << 20;

    private final CodedLayer layer;
    private final int mostParts;
    private final IntArray call = new IntArray(ReadField.COUNT);
    private final IntArray stamps = new IntArray(ReadKernels.STEPS + 1);
    private final Codes keys;
    private final Codes values;
    private final FloatArray queries;
    private final FloatArray result;
    private final FloatArray vectors;
    private final TornadoExecutionPlan plan;
    private final GridScheduler grid = new GridScheduler();
    private final WorkerGrid storeKeys = grid("storeKeys", false, ReadKernels.GROUP);
    private final WorkerGrid storeValues = grid("storeValues", false, ReadKernels.GROUP);
    private final WorkerGrid decodeKeys = grid("decodeKeys", false, ReadKernels.GROUP);
    private final WorkerGrid decodeValues = grid("decodeValues", false, ReadKernels.GROUP);
    private final WorkerGrid projectQueries = grid("projectQueries", true, ReadKernels.GROUP);
    private final WorkerGrid score = grid("score", true, ReadKernels.GROUP);
    private final WorkerGrid accumulate = grid("accumulate", true, ReadKernels.SUMMERS);
    private final WorkerGrid merge = grid("merge", true, ReadKernels.GROUP);
    private final WorkerGrid projectSums = grid("projectSums", true, ReadKernels.GROUP);
    private int sequence;

    /** The codes and the atoms of one kind, and a block on its way. */
    private static final class Codes {
        final CodeBlockLayout layout;
        final int rows;
        final int ownHeads;
        final FloatArray atoms;
        final ShortArray indices;
        final ShortArray coefficients;
        final ShortArray stagedIndices;
        final ShortArray stagedCoefficients;

        Codes(CodeBlockLayout layout, List<Dictionary> dictionaries, int blocks) {
            this.layout = layout;
            rows = dictionaries.getFirst().latents() + 1;
            ownHeads = dictionaries.size() > 1 ? 1 : 0;
            int size = Math.multiplyExact(Math.multiplyExact(rows, layout.dHead()), dictionaries.size());
            atoms = new FloatArray(size);
            long at = 0;
            for (Dictionary dictionary : dictionaries) {
                for (MemorySegment part : List.of(dictionary.decoderWeights(), dictionary.decoderBias())) {
                    MemorySegment.copy(part, 0, atoms.getSegment(), at, part.byteSize());
                    at += part.byteSize();
                }
            }
            indices = new ShortArray(Math.multiplyExact(blocks, pairs()));
            coefficients = new ShortArray(indices.getSize());
            stagedIndices = new ShortArray(pairs());
            stagedCoefficients = new ShortArray(pairs());
        }

        int pairs() {
            return layout.rows() * layout.budget();
        }

        void stage(MemorySegment body) {
            MemorySegment.copy(body, 0, stagedIndices.getSegment(), 0, layout.partBytes());
            MemorySegment.copy(
                    body, layout.coefficientOffset(), stagedCoefficients.getSegment(), 0, layout.partBytes());
        }
    }

    /**
     * Lays out the graph; it is compiled when first run.
     *
     * @param groups groups of threads that keep the device busy
     */
    ReadPlan(TornadoDevice device, CodedLayer layer, int groups) {
        this.layer = layer;
        AttentionShape shape = layer.shape();
        int heads = shape.heads();
        int dHead = shape.dHead();
        keys = new Codes(layer.keyLayout(), layer.keys(), layer.blocks());
        values = new Codes(layer.valueLayout(), layer.values(), layer.blocks());
        int capacity = layer.blocks() * CodeBlockLayout.TOKENS;
        long fitting = Math.max(1, MOST_SUM_BYTES / Float.BYTES / heads / values.rows);
        mostParts = (int) Math.clamp(Math.ceilDiv(groups, heads), 1, Math.min(fitting, layer.blocks()));
        queries = new FloatArray(heads * dHead);
        result = new FloatArray(heads * (dHead + ReadKernels.RESULT_EXTRA));
        vectors = new FloatArray(layer.keyLayout().rows() * dHead);
        FloatArray scales = HalfFloats.scales();
        FloatArray latentQueries = new FloatArray(heads * keys.rows);
        FloatArray scores = new FloatArray(Math.multiplyExact(heads, capacity));
        FloatArray sums = new FloatArray(mostParts * heads * values.rows);
        FloatArray references = new FloatArray(mostParts * heads);
        FloatArray merged = new FloatArray(heads * values.rows);
        TaskGraph graph = new TaskGraph(GRAPH)
                .transferToDevice(
                        DataTransferMode.EVERY_EXECUTION,
                        call,
                        stamps,
                        queries,
                        keys.stagedIndices,
                        keys.stagedCoefficients,
                        values.stagedIndices,
                        values.stagedCoefficients)
                .transferToDevice(
                        DataTransferMode.FIRST_EXECUTION,
                        scales,
                        keys.atoms,
                        keys.indices,
                        keys.coefficients,
                        values.atoms,
                        values.indices,
                        values.coefficients,
                        latentQueries,
                        scores,
                        sums,
                        references,
                        merged,
                        vectors);
        addStore(graph, "storeKeys", keys, ReadKernels.STORE_KEYS);
        addStore(graph, "storeValues", values, ReadKernels.STORE_VALUES);
        addDecode(graph, "decodeKeys", keys, scales, ReadKernels.DECODE_KEYS, ReadField.READ_KEY);
        addDecode(graph, "decodeValues", values, scales, ReadKernels.DECODE_VALUES, ReadField.READ_VALUE);
        graph.task(
                        "projectQueries",
                        ReadKernels::projectQueries,
                        new KernelContext(),
                        queries,
                        keys.atoms,
                        latentQueries,
                        stamps,
                        shape.group(),
                        dHead,
                        keys.rows,
                        keys.ownHeads)
                .task(
                        "score",
                        ReadKernels::score,
                        new KernelContext(),
                        call,
                        keys.indices,
                        keys.coefficients,
                        scales,
                        latentQueries,
                        scores,
                        stamps,
                        shape.group(),
                        shape.kvHeads(),
                        keys.rows,
                        keys.layout.budget(),
                        capacity)
                .task(
                        "accumulate",
                        ReadKernels::accumulate,
                        new KernelContext(),
                        call,
                        values.indices,
                        values.coefficients,
                        scales,
                        scores,
                        sums,
                        references,
                        stamps,
                        shape.group(),
                        shape.kvHeads(),
                        values.rows,
                        values.layout.budget(),
                        capacity)
                .task(
                        "merge",
                        ReadKernels::merge,
                        new KernelContext(),
                        call,
                        sums,
                        references,
                        merged,
                        result,
                        stamps,
                        heads,
                        dHead,
                        values.rows)
                .task(
                        "projectSums",
                        ReadKernels::projectSums,
                        new KernelContext(),
                        merged,
                        values.atoms,
                        result,
                        stamps,
                        shape.group(),
                        dHead,
                        values.rows,
                        values.ownHeads)
                .transferToHost(DataTransferMode.EVERY_EXECUTION, result, stamps)
                .transferToHost(DataTransferMode.UNDER_DEMAND, vectors);
        plan = new TornadoExecutionPlan(graph.snapshot());
        plan.withDevice(device);
        rest();
        plan.withGridScheduler(grid);
    }

    /** Stores a block. */
    void put(int block, MemorySegment keyBody, MemorySegment valueBody) {
        keys.stage(keyBody);
        values.stage(valueBody);
        rest();
        call.set(ReadField.STORED, 1);
        call.set(ReadField.BLOCK, block);
        along(storeKeys, keys.pairs(), ReadKernels.GROUP);
        along(storeValues, values.pairs(), ReadKernels.GROUP);
        execute();
    }

    /** Decodes a block. */
    void decode(VectorKind kind, int block, int read, MemorySegment to) {
        boolean ofKeys = kind == VectorKind.KEY;
        rest();
        call.set(ReadField.BLOCK, block);
        call.set(ofKeys ? ReadField.READ_KEY : ReadField.READ_VALUE, read);
        along(ofKeys ? decodeKeys : decodeValues, vectors.getSize(), ReadKernels.GROUP);
        execute().transferToHost(vectors);
        MemorySegment.copy(vectors.getSegment(), 0, to, 0, (long) vectors.getSize() * Float.BYTES);
    }

    /** Attends. */
    void attend(MemorySegment from, int first, int end, int readKey, int readValue, CodedSums sums) {
        AttentionShape shape = layer.shape();
        int heads = shape.heads();
        int dHead = shape.dHead();
        for (int i = 0; i < heads * dHead; i++) {
            queries.set(i, from.getAtIndex(JAVA_FLOAT, i) * shape.scale());
        }
        rest();
        int tokens = end - first;
        int span = Math.max(1, Math.ceilDiv(tokens, mostParts));
        int parts = Math.max(1, Math.ceilDiv(tokens, span));
        call.set(ReadField.FIRST, first);
        call.set(ReadField.END, end);
        call.set(ReadField.SPAN, span);
        call.set(ReadField.PARTS, parts);
        call.set(ReadField.READ_KEY, readKey);
        call.set(ReadField.READ_VALUE, readValue);
        along(projectQueries, keys.rows, ReadKernels.GROUP);
        along(score, tokens, ReadKernels.GROUP);
        along(accumulate, parts * ReadKernels.SUMMERS, ReadKernels.SUMMERS);
        along(merge, values.rows, ReadKernels.GROUP);
        along(projectSums, dHead, ReadKernels.GROUP);
        execute();
        for (int head = 0; head < heads; head++) {
            int at = head * (dHead + ReadKernels.RESULT_EXTRA);
            MemorySegment.copy(
                    result.getSegment(),
                    (long) at * Float.BYTES,
                    sums.sums(),
                    (long) head * dHead * Float.BYTES,
                    (long) dHead * Float.BYTES);
            sums.references().setAtIndex(JAVA_FLOAT, head, result.get(at + dHead));
            sums.weights().setAtIndex(JAVA_FLOAT, head, result.get(at + dHead + 1));
        }
    }

    @Override
    public void close() {
        try {
            plan.close();
        } catch (TornadoExecutionPlanException e) {
            throw new DeviceFailedException(e.getMessage(), e);
        }
    }

    private void addStore(TaskGraph graph, String name, Codes codes, int step) {
        graph.task(
                name,
                ReadKernels::store,
                new KernelContext(),
                call,
                codes.stagedIndices,
                codes.stagedCoefficients,
                codes.indices,
                codes.coefficients,
                stamps,
                step,
                codes.pairs());
    }

    private void addDecode(TaskGraph graph, String name, Codes codes, FloatArray scales, int step, int field) {
        graph.task(
                name,
                ReadKernels::decode,
                new KernelContext(),
                call,
                codes.indices,
                codes.coefficients,
                scales,
                codes.atoms,
                vectors,
                stamps,
                step,
                field,
                vectors.getSize(),
                codes.layout.budget(),
                codes.layout.dHead(),
                codes.rows,
                codes.ownHeads);
    }

    private WorkerGrid grid(String task, boolean byHead, int local) {
        WorkerGrid worker = byHead ? new WorkerGrid2D(local, 1) : new WorkerGrid1D(local);
        worker.setLocalWork(local, 1, 1);
        grid.addWorkerGrid(GRAPH + "." + task, worker);
        return worker;
    }

    /** Leaves every kernel one group, and nothing to do for it that shows. */
    private void rest() {
        for (int field = 0; field < ReadField.COUNT; field++) {
            call.set(field, 0);
        }
        for (WorkerGrid worker : List.of(storeKeys, storeValues, decodeKeys, decodeValues)) {
            worker.setGlobalWork(ReadKernels.GROUP, 1, 1);
        }
        for (WorkerGrid worker : List.of(projectQueries, score, merge, projectSums)) {
            worker.setGlobalWork(ReadKernels.GROUP, 1, 1);
        }
        accumulate.setGlobalWork(ReadKernels.SUMMERS, 1, 1);
    }

    private void along(WorkerGrid worker, int threads, int group) {
        boolean byHead = worker instanceof WorkerGrid2D;
        worker.setGlobalWork(
                (long) Math.max(1, Math.ceilDiv(threads, group)) * group,
                byHead ? layer.shape().heads() : 1,
                1);
    }

    private TornadoExecutionResult execute() {
        stamps.set(0, ++sequence);
        try {
            TornadoExecutionResult done = plan.execute();
            int last = stamps.get(ReadKernels.STEPS);
            if (last != sequence) {
                throw new DeviceFailedException(
                        "a kernel did not run (launch %d came back as %d)".formatted(sequence, last), null);
            }
            return done;
        } catch (DeviceFailedException e) {
            throw e;
        } catch (RuntimeException | TornadoInternalError e) {
            throw new DeviceFailedException(e.getMessage(), e);
        }
    }
}
