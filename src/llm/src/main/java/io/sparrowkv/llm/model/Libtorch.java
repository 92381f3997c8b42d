package io.sparrowkv.llm.model;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.pytorch.engine.PtEngine;
import ai.djl.pytorch.jni.JniUtils;
import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.MemorySegment;

/** The one place where libtorch is started, given its threads, and its memory seen as a segment. */
public final class Libtorch {
    private Libtorch() {}

    /**
     * Sets how many threads libtorch's operators use from now on, in the whole process.
     *
     * @throws IllegalArgumentException when {@code threads} is below 1
     */
    public static void useThreads(int threads) {
        if (threads < 1) {
            throw new IllegalArgumentException("threads " + threads);
        }
        engine();
        JniUtils.setNumThreads(threads);
    }

    /** Threads that libtorch's operators use. */
    public static int threads() {
        engine();
        return JniUtils.getNumThreads();
    }

    /** A manager for arrays in main memory; the caller closes it. */
    public static NDManager newManager() {
        return engine().newBaseManager(Device.cpu());
    }

    private static Engine engine() {
        if (!Engine.hasEngine(PtEngine.ENGINE_NAME)) {
            throw new InvalidInputException("models need DJL's PyTorch engine, which this copy of Sparrow KV lacks;"
                    + " write a complete one with 'sparrow bundle' without --encode-only");
        }
        return Engine.getEngine(PtEngine.ENGINE_NAME);
    }

    /**
     * The memory of an array, shared: what is written here the array holds. It must not be used after the array is closed.
     *
     * @param array fp32 and contiguous; of another one a copy would be seen
     */
    public static MemorySegment memory(NDArray array) {
        long bytes = array.size() * Float.BYTES;
        if (bytes == 0) {
            return MemorySegment.NULL;
        }
        if (bytes <= Integer.MAX_VALUE) {
            return MemorySegment.ofBuffer(array.toByteBuffer(true));
        }
        // A buffer holds no more than 2 GB, so one over the first element stands for the whole.
        NDArray first = array.reshape(-1).get("0:1");
        return MemorySegment.ofBuffer(first.toByteBuffer(true)).reinterpret(bytes);
    }
}
