package io.sparrowkv.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparrowkv.llm.model.Libtorch;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;

/** What libtorch, on as many threads as we have, works on for comparison: copies of our arrays, freed together. */
public final class TorchArrays implements AutoCloseable {
    private final NDManager manager;

    public TorchArrays(int threads) {
        Libtorch.useThreads(threads);
        manager = Libtorch.newManager();
    }

    /** A copy of fp32 numbers. */
    public NDArray copy(MemorySegment floats, long... shape) {
        return manager.create(floats.asByteBuffer().order(ByteOrder.nativeOrder()), new Shape(shape), DataType.FLOAT32)
                .duplicate();
    }

    /** Frees what is attached to it when it is closed: the results of one call. */
    public NDManager newScope() {
        return manager.newSubManager();
    }

    @Override
    public void close() {
        manager.close();
    }
}
