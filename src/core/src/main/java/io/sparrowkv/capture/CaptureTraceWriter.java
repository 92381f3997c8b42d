package io.sparrowkv.capture;

import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.IntVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.apache.arrow.vector.ipc.ArrowFileWriter;

/**
 * Writes captured vectors as an Arrow IPC file: for each chunk, layer by layer, one record batch. Memory is bounded by one batch. The
 * file appears at {@link #commit}; closed before, nothing is left of it.
 */
public final class CaptureTraceWriter implements VectorSink, AutoCloseable {
    private static final float LARGEST_F16 = 65_504f;

    private final Path path;
    private final CaptureTraceSchema schema;
    private final BufferAllocator allocator = new RootAllocator();
    private final VectorSchemaRoot root;
    private final AtomicFile file;
    private final ArrowFileWriter writer;
    private final Set<Tap> pending = EnumSet.noneOf(Tap.class);
    private int layersOfChunk;

    private CaptureTraceWriter(Path path, CaptureTraceSchema schema) {
        this.path = path;
        this.schema = schema;
        this.file = AtomicFile.create(path);
        this.root = VectorSchemaRoot.create(schema.toArrow(), allocator);
        this.writer = new ArrowFileWriter(root, null, file.channel());
    }

    /**
     * Begins a trace.
     *
     * @param origin the source that will be captured
     * @param layers layers to capture
     * @param taps taps to capture
     * @param dtype F32 or F16
     * @throws InvalidInputException when the file cannot be written, or the origin lacks a layer
     */
    public static CaptureTraceWriter create(
            Path path, VectorOrigin origin, List<Integer> layers, Set<Tap> taps, DType dtype) {
        List<Integer> ascending = layers.stream().sorted().distinct().toList();
        if (ascending.isEmpty()
                || taps.isEmpty()
                || ascending.getFirst() < 0
                || ascending.getLast() >= origin.layers()) {
            throw new InvalidInputException("layers %s, taps %s: choose at least one of each, layers from 0 to %d"
                    .formatted(layers, taps, origin.layers() - 1));
        }
        if (dtype != DType.F32 && dtype != DType.F16) {
            throw new InvalidInputException("dtype " + dtype + ": a trace holds F32 or F16");
        }
        return new CaptureTraceWriter(path, new CaptureTraceSchema(origin, ascending, EnumSet.copyOf(taps), dtype));
    }

    /** Captures a chunk. */
    public void append(VectorSource source, long chunk) {
        layersOfChunk = 0;
        source.read(chunk, this);
        if (layersOfChunk != schema.layers().size() || !pending.isEmpty()) {
            throw new IllegalStateException("chunk %d gave %d of %d layers, and %s of the next"
                    .formatted(chunk, layersOfChunk, schema.layers().size(), pending));
        }
    }

    /** Bytes written so far. */
    public long bytesWritten() {
        return writer.bytesWritten();
    }

    /** Ends the file and moves it into place. */
    public void commit() {
        try {
            writer.end();
        } catch (IOException e) {
            throw unwritable(e);
        }
        file.commit();
    }

    @Override
    public boolean wants(int layer, Tap tap) {
        return schema.taps().contains(tap) && schema.layers().contains(layer);
    }

    @Override
    public void accept(int layer, Tap tap, int firstPosition, int tokens, MemorySegment vectors) {
        if (pending.isEmpty()) {
            IntVector layerColumn = (IntVector) root.getVector(CaptureTraceSchema.LAYER);
            IntVector positionColumn = (IntVector) root.getVector(CaptureTraceSchema.POSITION);
            layerColumn.allocateNew(tokens);
            positionColumn.allocateNew(tokens);
            for (int token = 0; token < tokens; token++) {
                layerColumn.set(token, layer);
                positionColumn.set(token, firstPosition + token);
            }
        }
        pending.add(tap);
        fill((FixedSizeListVector) root.getVector(tap.label()), tokens, vectors);
        if (pending.size() == schema.taps().size()) {
            root.setRowCount(tokens);
            try {
                writer.writeBatch();
            } catch (IOException e) {
                throw unwritable(e);
            }
            pending.clear();
            layersOfChunk++;
        }
    }

    @Override
    public void close() {
        writer.close();
        root.close();
        allocator.close();
        file.close();
    }

    private void fill(FixedSizeListVector column, int tokens, MemorySegment vectors) {
        int count = Math.multiplyExact(tokens, schema.width());
        FieldVector items = column.getDataVector();
        items.setInitialCapacity(count);
        items.allocateNew();
        items.setValueCount(count);
        MemorySegment to = ArrowMemory.segment(
                items.getDataBuffer(), (long) count * schema.dtype().byteSize());
        if (schema.dtype() == DType.F32) {
            MemorySegment.copy(vectors, 0, to, 0, to.byteSize());
        } else {
            for (long i = 0; i < count; i++) {
                float value = vectors.getAtIndex(ValueLayout.JAVA_FLOAT, i);
                if (Math.abs(value) > LARGEST_F16) {
                    throw new InvalidInputException(
                            "%s: a captured vector holds %s, beyond what 16 bits hold; capture in F32"
                                    .formatted(path, value));
                }
                to.setAtIndex(ValueLayout.JAVA_SHORT, i, Float.floatToFloat16(value));
            }
        }
        for (int token = 0; token < tokens; token++) {
            column.setNotNull(token);
        }
        column.setValueCount(tokens);
    }

    private InvalidInputException unwritable(IOException e) {
        return new InvalidInputException(
                "%s: cannot be written (%s); make room, or choose another place".formatted(path, e.getMessage()), e);
    }
}
