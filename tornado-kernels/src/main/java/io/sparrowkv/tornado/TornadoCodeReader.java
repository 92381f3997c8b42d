package io.sparrowkv.tornado;

import io.sparrowkv.attention.CodeReader;
import io.sparrowkv.attention.CodedLayer;
import io.sparrowkv.attention.CodedSums;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;

/** Reads codes on a device that TornadoVM reaches. A failure of the device is thrown to the caller, who has the codes still. */
final class TornadoCodeReader implements CodeReader {
    /** Groups of threads that keep a device busy, a GPU's hundreds of units or a CPU's few cores. */
    private static final int GPU_GROUPS = 1024;

    private static final int CPU_GROUPS = 32;

    private final Device device;
    private final CodedLayer layer;
    private final DeviceThread thread = new DeviceThread("sparrow-device-read");
    private final ReadPlan plan;
    private boolean closed;

    TornadoCodeReader(Device device, CodedLayer layer) {
        this.device = device;
        this.layer = layer;
        this.plan = new ReadPlan(device.tornado(), layer, device.cpu() ? CPU_GROUPS : GPU_GROUPS);
    }

    @Override
    public String description() {
        return device.description();
    }

    @Override
    public CodedLayer layer() {
        return layer;
    }

    @Override
    public void put(int block, MemorySegment keys, MemorySegment values) {
        requireBlock(block);
        requireBytes("keys", keys, layer.keyLayout().byteSize());
        requireBytes("values", values, layer.valueLayout().byteSize());
        thread.run(() -> plan.put(block, keys, values));
    }

    @Override
    public void decode(VectorKind kind, int block, int read, MemorySegment vectors) {
        CodeBlockLayout layout = kind == VectorKind.KEY ? layer.keyLayout() : layer.valueLayout();
        requireBlock(block);
        requireRead(read, layout);
        requireBytes("vectors", vectors, (long) layout.rows() * layout.dHead() * Float.BYTES);
        thread.run(() -> plan.decode(kind, block, read, vectors));
    }

    @Override
    public void attend(
            MemorySegment queries, int firstToken, int endToken, int readKey, int readValue, CodedSums sums) {
        if (firstToken < 0 || endToken < firstToken || endToken > layer.blocks() * CodeBlockLayout.TOKENS) {
            throw new IllegalArgumentException("tokens %d to %d of %d".formatted(firstToken, endToken, layer.tokens()));
        }
        requireRead(readKey, layer.keyLayout());
        requireRead(readValue, layer.valueLayout());
        long floats = (long) layer.shape().heads() * layer.shape().dHead();
        requireBytes("queries", queries, floats * Float.BYTES);
        requireBytes("sums", sums.sums(), floats * Float.BYTES);
        thread.run(() -> plan.attend(queries, firstToken, endToken, readKey, readValue, sums));
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            try {
                thread.run(plan::close);
            } finally {
                thread.close();
            }
        }
    }

    private void requireBlock(int block) {
        if (block < 0 || block >= layer.blocks()) {
            throw new IllegalArgumentException("block %d of %d".formatted(block, layer.blocks()));
        }
    }

    private static void requireRead(int read, CodeBlockLayout layout) {
        if (read < 1 || read > layout.budget()) {
            throw new IllegalArgumentException("%d pairs of codes of %d".formatted(read, layout.budget()));
        }
    }

    private static void requireBytes(String name, MemorySegment segment, long bytes) {
        if (segment.byteSize() < bytes) {
            throw new IllegalArgumentException(
                    "%s: %d bytes where %d are needed".formatted(name, segment.byteSize(), bytes));
        }
    }
}
