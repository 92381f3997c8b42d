package io.sparrowkv.capture;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Set;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.FieldVector;
import org.apache.arrow.vector.IntVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.apache.arrow.vector.ipc.ArrowFileReader;
import org.apache.arrow.vector.ipc.message.ArrowBlock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A capture trace as a source of vectors: its chunks are those that were captured, and memory is bounded by one record batch. */
public final class CaptureTrace implements VectorSource {
    private static final Logger LOG = LoggerFactory.getLogger(CaptureTrace.class);

    /** Room for a batch's buffers beside the vectors themselves, and for rounding up to powers of two. */
    private static final int SLACK = 4;

    private final Path path;
    private final FileChannel channel;
    private final BufferAllocator allocator;
    private final ArrowFileReader reader;
    private final CaptureTraceSchema schema;
    private final List<ArrowBlock> blocks;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment widened;

    private CaptureTrace(Path path, FileChannel channel, BufferAllocator allocator, ArrowFileReader reader)
            throws IOException {
        this.path = path;
        this.channel = channel;
        this.allocator = allocator;
        this.reader = reader;
        this.schema =
                CaptureTraceSchema.fromArrow(path, reader.getVectorSchemaRoot().getSchema());
        this.blocks = reader.getRecordBlocks();
        int layers = schema.layers().size();
        if (blocks.isEmpty() || blocks.size() % layers != 0) {
            throw new InvalidInputException(
                    "%s: holds %d record batches where a multiple of its %d layers is needed; capture again"
                            .formatted(path, blocks.size(), layers));
        }
        long floats = (long) schema.origin().chunkTokens() * schema.width();
        this.widened = arena.allocate(schema.dtype() == DType.F16 ? floats * Float.BYTES : 0, 64);
    }

    /**
     * Opens a trace.
     *
     * @throws InvalidInputException when the file is missing, truncated, or no capture trace
     */
    public static CaptureTrace open(Path path) {
        if (!Files.isRegularFile(path)) {
            throw new InvalidInputException(path + ": no such file; write a trace with 'sparrow capture'");
        }
        FileChannel channel = null;
        BufferAllocator allocator = null;
        ArrowFileReader reader = null;
        try {
            channel = FileChannel.open(path, StandardOpenOption.READ);
            // A damaged length must not become an allocation: no part of a file is larger than the file.
            allocator = new RootAllocator(SLACK * channel.size() + (1 << 20));
            reader = new ArrowFileReader(channel, allocator);
            return new CaptureTrace(path, channel, allocator, reader);
        } catch (InvalidInputException e) {
            closeQuietly(reader, allocator, channel);
            throw e;
        } catch (IOException | RuntimeException e) {
            // Arrow tells a damaged file by whatever exception its parser runs into.
            closeQuietly(reader, allocator, channel);
            throw damaged(path, e);
        }
    }

    @Override
    public VectorOrigin origin() {
        return schema.origin();
    }

    @Override
    public Set<Tap> taps() {
        return Set.copyOf(schema.taps());
    }

    /** Layers that were captured, ascending. */
    public List<Integer> layers() {
        return schema.layers();
    }

    /** Type of the stored vectors: F32 or F16. */
    public DType dtype() {
        return schema.dtype();
    }

    @Override
    public long chunks() {
        return blocks.size() / schema.layers().size();
    }

    @Override
    public void read(long chunk, VectorSink sink) {
        if (chunk < 0 || chunk >= chunks()) {
            throw new IndexOutOfBoundsException("chunk " + chunk + " of " + chunks());
        }
        for (int layer = 0; layer < schema.origin().layers(); layer++) {
            if (wanted(layer, sink)) {
                int index = schema.layers().indexOf(layer);
                if (index < 0) {
                    throw new InvalidInputException(
                            "%s: layer %d is not in the trace, only %s; choose among them, or capture it"
                                    .formatted(path, layer, schema.layers()));
                }
                readBatch(Math.toIntExact(chunk * schema.layers().size() + index), layer, sink);
            }
        }
    }

    private boolean wanted(int layer, VectorSink sink) {
        boolean wanted = false;
        for (Tap tap : Tap.values()) {
            if (sink.wants(layer, tap)) {
                if (!schema.taps().contains(tap)) {
                    throw new InvalidInputException("%s: '%s' is not in the trace, only %s; capture it"
                            .formatted(path, tap.label(), schema.taps()));
                }
                wanted = true;
            }
        }
        return wanted;
    }

    private void readBatch(int block, int layer, VectorSink sink) {
        VectorSchemaRoot root = load(block, layer);
        int position = ((IntVector) root.getVector(CaptureTraceSchema.POSITION)).get(0);
        for (Tap tap : schema.taps()) {
            if (sink.wants(layer, tap)) {
                FixedSizeListVector column = (FixedSizeListVector) root.getVector(tap.label());
                sink.accept(layer, tap, position, root.getRowCount(), floats(column, root.getRowCount()));
            }
        }
    }

    /** Reads a record batch and checks that it is what the schema says. */
    private VectorSchemaRoot load(int block, int layer) {
        try {
            if (!reader.loadRecordBatch(blocks.get(block))) {
                throw new IOException("record batch " + block + " is missing");
            }
            VectorSchemaRoot root = reader.getVectorSchemaRoot();
            int tokens = root.getRowCount();
            if (tokens < 1 || tokens > schema.origin().chunkTokens()) {
                throw new IOException("record batch %d holds %d rows".formatted(block, tokens));
            }
            int stored = ((IntVector) root.getVector(CaptureTraceSchema.LAYER)).get(0);
            if (stored != layer) {
                throw new IOException("record batch %d is of layer %d, not %d".formatted(block, stored, layer));
            }
            for (FieldVector column : root.getFieldVectors()) {
                if (column.getNullCount() != 0) {
                    throw new IOException("record batch %d has nulls in '%s'".formatted(block, column.getName()));
                }
            }
            for (Tap tap : schema.taps()) {
                stored((FixedSizeListVector) root.getVector(tap.label()), tokens);
            }
            return root;
        } catch (IOException | RuntimeException e) {
            throw damaged(path, e);
        }
    }

    private MemorySegment floats(FixedSizeListVector column, int tokens) {
        MemorySegment stored = stored(column, tokens);
        if (schema.dtype() == DType.F32) {
            return stored;
        }
        long count = (long) tokens * schema.width();
        for (long i = 0; i < count; i++) {
            float value = Float.float16ToFloat(stored.getAtIndex(ValueLayout.JAVA_SHORT, i));
            widened.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
        }
        return widened.asSlice(0, count * Float.BYTES);
    }

    /** A column's vectors as they are stored. */
    private MemorySegment stored(FixedSizeListVector column, int tokens) {
        long bytes = (long) tokens * schema.width() * schema.dtype().byteSize();
        return ArrowMemory.segment(column.getDataVector().getDataBuffer(), bytes);
    }

    @Override
    public void close() {
        closeQuietly(reader, allocator, channel);
        arena.close();
    }

    private static InvalidInputException damaged(Path path, Exception e) {
        String reason = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
        return new InvalidInputException("%s: is truncated or damaged (%s); capture again".formatted(path, reason), e);
    }

    /** Closes what was only read from: nothing can be lost by it. */
    private static void closeQuietly(AutoCloseable... resources) {
        for (AutoCloseable resource : resources) {
            try {
                if (resource != null) {
                    resource.close();
                }
            } catch (Exception e) {
                LOG.debug("closing a trace: {}", e.getMessage());
            }
        }
    }
}
