package io.sparrowkv.codec;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.memory.BufferAllocator;
import org.apache.arrow.vector.VectorLoader;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.ipc.message.ArrowFieldNode;
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch;
import org.apache.arrow.vector.types.pojo.ArrowType;
import org.apache.arrow.vector.types.pojo.Field;
import org.apache.arrow.vector.types.pojo.FieldType;
import org.apache.arrow.vector.types.pojo.Schema;

/**
 * The Arrow schema of a code block: that of {@code arrow-schemas/code-block.schema.json}, which is written for one budget, with
 * the list size and the metadata of the block at hand.
 */
public final class CodeBlockSchema {
    public static final String FORMAT_VERSION = "sparrow.format_version";
    public static final String SITE = "sparrow.site";
    public static final String TOKENS = "sparrow.tokens";
    public static final String KV_HEADS = "sparrow.kv_heads";
    public static final String D_HEAD = "sparrow.d_head";
    public static final String BUDGET = "sparrow.budget";

    private static final String RESOURCE = "/io/sparrowkv/schemas/code-block.schema.json";

    private CodeBlockSchema() {}

    /** The schema as the file has it. */
    public static Schema contract() {
        try (InputStream in = CodeBlockSchema.class.getResourceAsStream(RESOURCE)) {
            if (in == null) {
                throw new IllegalStateException(RESOURCE + " is missing from the class path");
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
        List<Field> fields = contract().getFields().stream()
                .map(field -> new Field(
                        field.getName(),
                        FieldType.notNullable(new ArrowType.FixedSizeList(layout.budget())),
                        field.getChildren()))
                .toList();
        return new Schema(fields, metadata);
    }

    /**
     * Shows a block as Arrow vectors, without a copy.
     *
     * @param body the block, which the root retains until it is closed
     */
    public static VectorSchemaRoot wrap(CodeBlockLayout layout, ArrowBuf body, BufferAllocator allocator) {
        int pairs = layout.rows() * layout.budget();
        ArrowBuf none = allocator.getEmpty();
        ArrowBuf indices = body.slice(0, layout.partBytes());
        ArrowBuf coefficients = body.slice(layout.coefficientOffset(), layout.partBytes());
        ArrowFieldNode rowNode = new ArrowFieldNode(layout.rows(), 0);
        ArrowFieldNode pairNode = new ArrowFieldNode(pairs, 0);
        VectorSchemaRoot root = VectorSchemaRoot.create(of(layout), allocator);
        try (ArrowRecordBatch batch = new ArrowRecordBatch(
                layout.rows(),
                List.of(rowNode, pairNode, rowNode, pairNode),
                List.of(none, none, indices, none, none, coefficients))) {
            new VectorLoader(root).load(batch);
        }
        return root;
    }
}
