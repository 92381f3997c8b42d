package io.sparrowkv.store.chronicle;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import org.apache.arrow.compression.CommonsCompressionFactory;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.ipc.ArrowFileReader;
import org.apache.arrow.vector.ipc.ArrowReader;
import org.apache.arrow.vector.ipc.ArrowStreamReader;

/**
 * Reads what {@link StoreExport} wrote into a store of the same profile, whatever its capacity. Nothing of the file is believed that
 * can be checked: tokens must give their prefix, indices must name atoms, coefficients and dense vectors must be finite.
 */
public final class StoreImport implements AutoCloseable {
    private static final byte[] FILE_MAGIC = "ARROW1".getBytes(StandardCharsets.US_ASCII);

    /** What a batch may take at least: compressed files are smaller than their batches. */
    private static final long LEAST_MEMORY = 1L << 30;

    private static final int EXPONENT_F16 = 0x7C00;

    /**
     * What was read.
     *
     * @param prefixes blocks of tokens, and sinks at the beginning of texts, that are in the store now
     * @param blocks code blocks of keys or of values
     * @param dense dense keys or values of a block's layer
     * @param leftOut prefixes that found no room, or whose beginning did not
     */
    public record Result(long prefixes, long blocks, long dense, long leftOut) {}

    private final StoreParts parts;
    private final StoreProfile profile;
    private final Path path;
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment body;
    private long current;
    private boolean pinned;
    private boolean begun;
    private long prefixes;
    private long blocks;
    private long dense;
    private long leftOut;

    private StoreImport(ChronicleBlockStore store, Path path) {
        parts = store.parts();
        this.path = path;
        profile = store.manifest().profile();
        body = arena.allocate(StoreManifest.blockSlotBytes(profile), CodeBlockLayout.ALIGNMENT);
    }

    /**
     * Imports a file or a stream.
     *
     * @throws InvalidInputException when it is no export, is damaged, or comes of a store of another profile
     */
    public static Result read(ChronicleBlockStore store, Path path) throws IOException {
        if (!Files.isRegularFile(path)) {
            throw new InvalidInputException(path + ": no such file; write one with 'sparrow store export'");
        }
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ);
                BufferAllocator allocator = new RootAllocator(Math.max(LEAST_MEMORY, 4 * channel.size()));
                ArrowReader reader = reader(channel, allocator);
                StoreImport into = new StoreImport(store, path)) {
            into.read(reader);
            return new Result(into.prefixes, into.blocks, into.dense, into.leftOut);
        } catch (InvalidInputException e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            // Arrow tells a damaged file by whatever exception its parser runs into.
            String reason = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
            throw new InvalidInputException(
                    "%s: is truncated or damaged (%s); export again".formatted(path, reason), e);
        }
    }

    private static ArrowReader reader(FileChannel channel, BufferAllocator allocator) throws IOException {
        ByteBuffer magic = ByteBuffer.allocate(FILE_MAGIC.length);
        channel.read(magic, 0);
        return Arrays.equals(magic.array(), FILE_MAGIC)
                ? new ArrowFileReader(channel, allocator, CommonsCompressionFactory.INSTANCE)
                : new ArrowStreamReader(channel, allocator, CommonsCompressionFactory.INSTANCE);
    }

    private void read(ArrowReader reader) throws IOException {
        var root = reader.getVectorSchemaRoot();
        List<String> differences = profile.differences(ExportSchema.profile(path, root.getSchema()), "the file's");
        if (!differences.isEmpty()) {
            throw new InvalidInputException(
                    "%s: %s; choose another store".formatted(path, String.join("; ", differences)));
        }
        ExportRow columns = new ExportRow(root);
        while (reader.loadNextBatch()) {
            for (int row = 0; row < root.getRowCount(); row++) {
                read(columns, row);
            }
        }
    }

    private void read(ExportRow columns, int row) {
        if (!begun || columns.prefix(row) != current) {
            begin(columns, row);
        }
        if (!pinned) {
            return;
        }
        int layer = columns.layer(row);
        require(layer >= 0 && layer < profile.layers(), "layer " + layer);
        for (VectorKind kind : VectorKind.values()) {
            if (columns.hasCodes(row, kind)) {
                CodeBlockLayout layout = profile.layout(layer, kind);
                unpack(layout, columns.indices(row, kind), columns.coefficients(row, kind));
                blocks += parts.putBlock(current, layout, body.asSlice(0, layout.byteSize())) ? 1 : 0;
            }
            if (columns.hasDense(row, kind)) {
                MemorySegment vectors = columns.dense(row, kind);
                requireDense(columns.end(row), vectors);
                dense += parts.putDense(current, layer, kind, vectors) ? 1 : 0;
            }
        }
    }

    /** Makes the store know the prefix of a row that begins it, and keeps it from eviction until the next one. */
    private void begin(ExportRow columns, int row) {
        end();
        begun = true;
        current = columns.prefix(row);
        long parent = columns.parent(row);
        int end = columns.end(row);
        int[] tokens = columns.tokens(row);
        requirePrefix(parent, end, tokens);
        if (!parts.pin(current)) {
            leftOut++;
            return;
        }
        pinned = true;
        if (add(parent, end, tokens, columns.used(row))) {
            prefixes++;
        } else {
            leftOut++;
            end();
        }
    }

    private boolean add(long parent, int end, int[] tokens, long used) {
        MemorySegment record = parts.record(current);
        if (record != null && PrefixRecord.matches(record, parent, end, tokens, 0, tokens.length)) {
            return true;
        }
        if (parent == 0) {
            return parts.addPrefix(current, parent, end, tokens, 0, tokens.length, used);
        }
        if (!parts.pin(parent)) { // else it could be evicted to make room for what follows it
            return false;
        }
        try {
            return parts.knows(parent) && parts.addPrefix(current, parent, end, tokens, 0, tokens.length, used);
        } finally {
            parts.unpin(parent);
        }
    }

    private void end() {
        if (pinned) {
            pinned = false;
            parts.unpin(current);
        }
    }

    private void requirePrefix(long parent, int end, int[] tokens) {
        if (end == PrefixRecord.ANONYMOUS) {
            require(parent == 0 && tokens.length == 0, "a block without tokens that has some");
            return;
        }
        int expected = end == profile.sinks() ? profile.sinks() : CodeBlockLayout.TOKENS;
        long blocksBefore = (long) end - profile.sinks();
        require(
                tokens.length == expected
                        && blocksBefore >= 0
                        && blocksBefore % CodeBlockLayout.TOKENS == 0
                        && (blocksBefore == 0) == (parent == 0),
                "%d tokens up to %d".formatted(tokens.length, end));
        long hash = parent == 0 ? parts.salt() : parent;
        for (int token : tokens) {
            hash = BlockKey.chain(hash, token);
        }
        require(hash == current, "tokens of another prefix");
    }

    private void requireDense(int end, MemorySegment vectors) {
        int tokens = end == profile.sinks() ? profile.sinks() : CodeBlockLayout.TOKENS;
        long bytes = (long) tokens * profile.kvHeads() * profile.dHead() * Float.BYTES;
        require(end >= 0 && vectors.byteSize() == bytes, vectors.byteSize() + " bytes of dense vectors");
        for (long at = 0; at < bytes; at += Float.BYTES) {
            float value = vectors.get(JAVA_FLOAT_UNALIGNED, at);
            require(Float.isFinite(value), "a dense vector that is not finite");
        }
    }

    /** Lays a block out as {@link CodeBlockLayout} says, in {@link #body}. */
    private void unpack(CodeBlockLayout layout, MemorySegment indices, MemorySegment coefficients) {
        long bytes = layout.partBytes();
        require(
                indices.byteSize() == bytes && coefficients.byteSize() == bytes,
                "%d and %d bytes of codes".formatted(indices.byteSize(), coefficients.byteSize()));
        for (long at = 0; at < bytes; at += Short.BYTES) {
            int index = Short.toUnsignedInt(indices.get(JAVA_SHORT_UNALIGNED, at));
            int exponent = coefficients.get(JAVA_SHORT_UNALIGNED, at) & EXPONENT_F16;
            require(index < profile.latents() && exponent != EXPONENT_F16, "a code of no atom, or not finite");
        }
        boolean packed = layout.pairs().packed();
        MemorySegment plain = packed
                ? MemorySegment.ofArray(new short[(int) (layout.plain().byteSize() / Short.BYTES)])
                : body.fill((byte) 0);
        MemorySegment.copy(indices, 0, plain, 0, bytes);
        MemorySegment.copy(coefficients, 0, plain, layout.coefficientOffset(), bytes);
        if (packed) {
            layout.fromPlain(plain, body.fill((byte) 0));
        }
    }

    private void require(boolean right, String found) {
        if (!right) {
            throw new InvalidInputException(
                    "%s: is damaged (prefix %016x has %s); export again".formatted(path, current, found));
        }
    }

    @Override
    public void close() {
        end();
        arena.close();
    }
}
