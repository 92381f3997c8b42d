package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.apache.arrow.compression.CommonsCompressionFactory;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.compression.CompressionCodec;
import org.apache.arrow.vector.compression.CompressionUtil.CodecType;
import org.apache.arrow.vector.compression.NoCompressionCodec;
import org.apache.arrow.vector.ipc.ArrowFileWriter;
import org.apache.arrow.vector.ipc.ArrowStreamWriter;
import org.apache.arrow.vector.ipc.ArrowWriter;
import org.apache.arrow.vector.ipc.message.IpcOption;

/**
 * Writes a store's contents as Arrow IPC, for any tool that reads Arrow, and for {@link StoreImport}: a row for each block of tokens
 * and layer, a prefix always before those that continue it. Memory is bounded by one record batch.
 */
public final class StoreExport implements AutoCloseable {
    private static final long BATCH_BYTES = 8 << 20;
    private static final int MOST_ROWS = 4096;

    /** Arrow's two IPC formats. */
    public enum Form {
        /** Random access, with a footer. */
        FILE,
        /** One message after the other. */
        STREAM
    }

    /** Of the buffers of record batches. */
    public enum Compression {
        NONE(CodecType.NO_COMPRESSION),
        LZ4(CodecType.LZ4_FRAME),
        ZSTD(CodecType.ZSTD);

        private final CodecType codec;

        Compression(CodecType codec) {
            this.codec = codec;
        }
    }

    /**
     * What was written.
     *
     * @param prefixes blocks of tokens, and the sinks at the beginning of texts
     * @param rows one for each of them and layer
     * @param blocks code blocks of keys or of values
     * @param dense dense keys or values of a block's layer
     * @param bytes of the file
     */
    public record Result(long prefixes, long rows, long blocks, long dense, long bytes) {}

    private final StoreParts parts;
    private final StoreProfile profile;
    private final BufferAllocator allocator = new RootAllocator();
    private final VectorSchemaRoot root;
    private final ExportRow columns;
    private final ArrowWriter writer;
    private final int batchRows;
    private int rows;
    private long prefixesWritten;
    private long rowsWritten;
    private long blocksWritten;
    private long denseWritten;

    private StoreExport(ChronicleBlockStore store, WritableByteChannel out, Form form, Compression compression) {
        parts = store.parts();
        profile = store.manifest().profile();
        root = VectorSchemaRoot.create(ExportSchema.of(profile), allocator);
        columns = new ExportRow(root);
        CompressionCodec.Factory factory = compression == Compression.NONE
                ? NoCompressionCodec.Factory.INSTANCE
                : CommonsCompressionFactory.INSTANCE;
        writer = form == Form.FILE
                ? new ArrowFileWriter(
                        root, null, out, Map.of(), IpcOption.DEFAULT, factory, compression.codec, Optional.empty())
                : new ArrowStreamWriter(
                        root, null, out, IpcOption.DEFAULT, factory, compression.codec, Optional.empty());
        long rowBytes = StoreManifest.blockSlotBytes(profile);
        batchRows = (int) Math.clamp(BATCH_BYTES / rowBytes, 1, MOST_ROWS);
    }

    /**
     * Exports a whole store. The file appears when it is complete. Damaged parts are dropped from the store, and are not in the file.
     *
     * @throws InvalidInputException when the file cannot be written, or the store keeps residuals
     */
    public static Result write(ChronicleBlockStore store, Path file, Form form, Compression compression)
            throws IOException {
        if (store.manifest().profile().keepsResiduals()) {
            throw new InvalidInputException(
                    "%s: keeps residuals, which the export format has no columns for; copy the folder of the store instead"
                            .formatted(store.folder()));
        }
        try (AtomicFile target = AtomicFile.create(file)) {
            Result result;
            try (StoreExport export = new StoreExport(store, target.channel(), form, compression)) {
                result = export.run(target);
            }
            target.commit();
            return result;
        }
    }

    private Result run(AtomicFile target) throws IOException {
        writer.start();
        for (PrefixTree.Node node : new PrefixTree(parts.files().prefixes).inOrder()) {
            if (parts.pin(node.prefix)) {
                try {
                    write(node);
                } finally {
                    parts.unpin(node.prefix);
                }
            }
        }
        endBatch();
        writer.end();
        return new Result(
                prefixesWritten,
                rowsWritten,
                blocksWritten,
                denseWritten,
                target.channel().size());
    }

    private void write(PrefixTree.Node node) throws IOException {
        MemorySegment record = parts.record(node.prefix);
        if (record == null || !PrefixRecord.intact(record)) {
            return; // what continues it cannot be imported, and is left out there
        }
        int[] tokens = PrefixRecord.tokens(record);
        prefixesWritten++;
        int dense = node.end == profile.sinks() ? profile.sinks() : CodeBlockLayout.TOKENS;
        for (int layer = 0; layer < profile.layers(); layer++) {
            columns.write(rows, node.prefix, node.parent, node.end, tokens, node.used, layer);
            for (VectorKind kind : VectorKind.values()) {
                CodeBlockLayout layout = profile.layout(layer, kind);
                if (parts.hasBlock(node.prefix, Site.of(layer, kind))) {
                    MemorySegment body = parts.block(node.prefix, layout);
                    if (body != null) {
                        MemorySegment codes = plain(layout, body);
                        columns.writeCodes(
                                rows,
                                kind,
                                codes.asSlice(0, layout.partBytes()),
                                codes.asSlice(layout.coefficientOffset(), layout.partBytes()));
                        blocksWritten++;
                    }
                }
                if (parts.hasDense(node.prefix, layer, kind)) {
                    MemorySegment vectors = parts.dense(node.prefix, layer, kind, dense);
                    if (vectors != null) {
                        columns.writeDense(rows, kind, vectors);
                        denseWritten++;
                    }
                }
            }
            rowsWritten++;
            if (++rows == batchRows) {
                endBatch();
            }
        }
    }

    /** The block as plain pairs, which every tool reads. */
    private MemorySegment plain(CodeBlockLayout layout, MemorySegment body) {
        if (!layout.pairs().packed()) {
            return body;
        }
        MemorySegment plain =
                MemorySegment.ofArray(new short[(int) (layout.plain().byteSize() / Short.BYTES)]);
        layout.toPlain(body, plain);
        return plain;
    }

    private void endBatch() throws IOException {
        if (rows > 0) {
            root.setRowCount(rows);
            columns.finish();
            writer.writeBatch();
            root.clear();
            rows = 0;
        }
    }

    @Override
    public void close() {
        // Not the writer: it would close the file's channel.
        root.close();
        allocator.close();
    }
}
