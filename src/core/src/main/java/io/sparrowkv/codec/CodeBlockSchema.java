package io.sparrowkv.codec;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.memory.ForeignAllocation;
import org.apache.arrow.vector.VectorLoader;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.ipc.message.ArrowFieldNode;
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.arrow.vector.types.pojo.Field;
import org.apache.arrow.vector.types.pojo.FieldType;
import org.apache.arrow.vector.types.pojo.Schema;

/**
 * The Arrow schema of a code block: that of {@code arrow-schemas/code-block.schema.json}, or for packed pairs that of
 * {@code packed-code-block.schema.json}, or for counted ones {@code counted-code-block.schema.json}, which are written for one budget, with the sizes and the metadata of the block at hand.
 */
public final class CodeBlockSchema {
    public static final String FORMAT_VERSION = "sparrow.format_version";
    public static final String SITE = "sparrow.site";
    public static final String TOKENS = "sparrow.tokens";
    public static final String KV_HEADS = "sparrow.kv_heads";
    public static final String D_HEAD = "sparrow.d_head";
    public static final String BUDGET = "sparrow.budget";

    /** Of packed pairs: bits of an index, and of a coefficient. */
    public static final String INDEX_BITS = "sparrow.index_bits";

    public static final String COEFFICIENT_BITS = "sparrow.coefficient_bits";

    /** Of packed pairs: bits of a number of the residual. */
    public static final String RESIDUAL_BITS = "sparrow.residual_bits";

    /** Of counted pairs: bits of a count. */
    public static final String COUNT_BITS = "sparrow.count_bits";

    private static final String PLAIN = "/io/sparrowkv/schemas/code-block.schema.json";
    private static final String PACKED = "/io/sparrowkv/schemas/packed-code-block.schema.json";
    private static final String COUNTED = "/io/sparrowkv/schemas/counted-code-block.schema.json";

    private CodeBlockSchema() {}

    /** The schema of plain pairs as the file has it. */
    public static Schema contract() {
        return read(PLAIN);
    }

    /** The schema of packed pairs as the file has it. */
    public static Schema packedContract() {
        return read(PACKED);
    }

    /** The schema of counted pairs as the file has it. */
    public static Schema countedContract() {
        return read(COUNTED);
    }

    private static Schema contract(PairFormat pairs) {
        if (pairs.counted()) {
            return countedContract();
        }
        return pairs.packed() ? packedContract() : contract();
    }

    private static Schema read(String resource) {
        try (InputStream in = CodeBlockSchema.class.getResourceAsStream(resource)) {
            if (in == null) {
                throw new IllegalStateException(resource + " is missing from the class path");
            }
            return Schema.fromJSON(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The schema of a block. */
    public static Schema of(CodeBlockLayout layout) {
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put(FORMAT_VERSION, Integer.toString(CodeBlockLayout.VERSION));
        metadata.put(SITE, layout.site().label());
        metadata.put(TOKENS, Integer.toString(CodeBlockLayout.TOKENS));
        metadata.put(KV_HEADS, Integer.toString(layout.kvHeads()));
        metadata.put(D_HEAD, Integer.toString(layout.dHead()));
        metadata.put(BUDGET, Integer.toString(layout.budget()));
        if (layout.pairs().packed()) {
            metadata.put(INDEX_BITS, Integer.toString(layout.pairs().indexBits()));
            metadata.put(
                    COEFFICIENT_BITS,
                    Integer.toString(layout.pairs().coefficients().bits()));
            metadata.put(RESIDUAL_BITS, Integer.toString(layout.pairs().residualBits()));
        }
        if (layout.pairs().counted()) {
            metadata.put(COUNT_BITS, Integer.toString(CountedRows.bits(layout.budget())));
        }
        List<Field> fields = contract(layout.pairs()).getFields().stream()
                .map(field -> new Field(field.getName(), FieldType.notNullable(type(layout)), field.getChildren()))
                .toList();
        return new Schema(fields, metadata);
    }

    private static ArrowType type(CodeBlockLayout layout) {
        if (layout.pairs().counted()) {
            return ArrowType.Binary.INSTANCE;
        }
        return layout.pairs().packed()
                ? new ArrowType.FixedSizeBinary(layout.rowBytes())
                : new ArrowType.FixedSizeList(layout.budget());
    }

    /**
     * Shows a block as Arrow vectors where it lies, in whatever store, without a copy.
     *
     * @param body native memory that must stay until the root is closed: a lease's
     */
    public static VectorSchemaRoot wrap(CodeBlockLayout layout, MemorySegment body, BufferAllocator allocator) {
        VectorSchemaRoot root = VectorSchemaRoot.create(of(layout), allocator);
        try (ArrowBuf buffer = allocator.wrapForeignAllocation(new Borrowed(body));
                ArrowRecordBatch batch = batch(layout, body, buffer, allocator.getEmpty())) {
            new VectorLoader(root).load(batch);
        }
        return root;
    }

    private static ArrowRecordBatch batch(CodeBlockLayout layout, MemorySegment memory, ArrowBuf body, ArrowBuf none) {
        ArrowFieldNode rows = new ArrowFieldNode(layout.rows(), 0);
        if (layout.pairs().counted()) {
            ArrowBuf offsets = body.slice(0, (layout.kvHeads() + 1L) * Integer.BYTES);
            ArrowBuf heads =
                    body.slice(layout.counted().data(), layout.counted().dataBytes(memory));
            ArrowFieldNode node = new ArrowFieldNode(layout.kvHeads(), 0);
            return new ArrowRecordBatch(layout.kvHeads(), List.of(node), List.of(none, offsets, heads));
        }
        if (layout.pairs().packed()) {
            ArrowBuf packed = body.slice(0, (long) layout.rows() * layout.rowBytes());
            return new ArrowRecordBatch(layout.rows(), List.of(rows), List.of(none, packed));
        }
        ArrowFieldNode pairs = new ArrowFieldNode((long) layout.rows() * layout.budget(), 0);
        ArrowBuf indices = body.slice(0, layout.partBytes());
        ArrowBuf coefficients = body.slice(layout.coefficientOffset(), layout.partBytes());
        return new ArrowRecordBatch(
                layout.rows(),
                List.of(rows, pairs, rows, pairs),
                List.of(none, none, indices, none, none, coefficients));
    }

    /** Memory that Arrow sees and somebody else frees. */
    private static final class Borrowed extends ForeignAllocation {
        Borrowed(MemorySegment memory) {
            super(memory.byteSize(), memory.address());
        }

        @Override
        protected void release0() {}
    }
}
