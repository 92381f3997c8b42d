package io.sparrowkv.store.chronicle;

import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.EnumMap;
import java.util.Map;
import org.apache.arrow.memory.ArrowBuf;
import org.apache.arrow.vector.BaseFixedWidthVector;
import org.apache.arrow.vector.IntVector;
import org.apache.arrow.vector.TimeStampMilliTZVector;
import org.apache.arrow.vector.UInt8Vector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.ListVector;

/** The columns of an exported store's record batch, read and written a row at a time. Lists are copied as bytes. */
final class ExportRow {
    private final UInt8Vector prefix;
    private final UInt8Vector parent;
    private final IntVector end;
    private final ListVector tokens;
    private final TimeStampMilliTZVector used;
    private final IntVector layer;
    private final Map<VectorKind, ListVector> indices = new EnumMap<>(VectorKind.class);
    private final Map<VectorKind, ListVector> coefficients = new EnumMap<>(VectorKind.class);
    private final Map<VectorKind, ListVector> dense = new EnumMap<>(VectorKind.class);

    ExportRow(VectorSchemaRoot root) {
        prefix = (UInt8Vector) root.getVector(ExportSchema.PREFIX);
        parent = (UInt8Vector) root.getVector(ExportSchema.PARENT);
        end = (IntVector) root.getVector(ExportSchema.END);
        tokens = (ListVector) root.getVector(ExportSchema.TOKENS);
        used = (TimeStampMilliTZVector) root.getVector(ExportSchema.USED);
        layer = (IntVector) root.getVector(ExportSchema.LAYER);
        for (VectorKind kind : VectorKind.values()) {
            indices.put(kind, (ListVector) root.getVector(ExportSchema.index(kind)));
            coefficients.put(kind, (ListVector) root.getVector(ExportSchema.coefficient(kind)));
            dense.put(kind, (ListVector) root.getVector(ExportSchema.dense(kind)));
        }
    }

    void write(int row, long prefix, long parent, int end, int[] tokens, long used, int layer) {
        this.prefix.setSafe(row, prefix);
        this.parent.setSafe(row, parent);
        this.end.setSafe(row, end);
        append(this.tokens, row, MemorySegment.ofArray(tokens));
        this.used.setSafe(row, used);
        this.layer.setSafe(row, layer);
    }

    void writeCodes(int row, VectorKind kind, MemorySegment indices, MemorySegment coefficients) {
        append(this.indices.get(kind), row, indices);
        append(this.coefficients.get(kind), row, coefficients);
    }

    void writeDense(int row, VectorKind kind, MemorySegment vectors) {
        append(dense.get(kind), row, vectors);
    }

    long prefix(int row) {
        return prefix.get(row);
    }

    long parent(int row) {
        return parent.get(row);
    }

    int end(int row) {
        return end.get(row);
    }

    int[] tokens(int row) {
        MemorySegment ids = list(tokens, row);
        return ids.toArray(ValueLayout.JAVA_INT_UNALIGNED);
    }

    long used(int row) {
        return used.get(row);
    }

    int layer(int row) {
        return layer.get(row);
    }

    boolean hasCodes(int row, VectorKind kind) {
        return !indices.get(kind).isNull(row) && !coefficients.get(kind).isNull(row);
    }

    boolean hasDense(int row, VectorKind kind) {
        return !dense.get(kind).isNull(row);
    }

    /** Atom indices, uint16 {@code [kvHeads, 64, budget]}; valid while the batch is. */
    MemorySegment indices(int row, VectorKind kind) {
        return list(indices.get(kind), row);
    }

    /** Coefficients, fp16 {@code [kvHeads, 64, budget]}. */
    MemorySegment coefficients(int row, VectorKind kind) {
        return list(coefficients.get(kind), row);
    }

    /** Dense vectors, fp32 {@code [tokens, kvHeads, dHead]}. */
    MemorySegment dense(int row, VectorKind kind) {
        return list(dense.get(kind), row);
    }

    /** Ends a batch of rows: all items of its lists are valid. */
    void finish() {
        finish(tokens);
        for (VectorKind kind : VectorKind.values()) {
            finish(indices.get(kind));
            finish(coefficients.get(kind));
            finish(dense.get(kind));
        }
    }

    private static void finish(ListVector lists) {
        ArrowBuf validity = lists.getDataVector().getValidityBuffer();
        validity.setOne(0, validity.capacity());
    }

    /** Makes a row's list of the bytes of its items. */
    private static void append(ListVector lists, int row, MemorySegment items) {
        BaseFixedWidthVector data = (BaseFixedWidthVector) lists.getDataVector();
        int first = lists.startNewValue(row);
        int count = Math.toIntExact(items.byteSize() / data.getTypeWidth());
        while (data.getValueCapacity() < first + count) {
            data.reAlloc();
        }
        MemorySegment.copy(
                items, 0, memory(data.getDataBuffer()), (long) first * data.getTypeWidth(), items.byteSize());
        lists.endValue(row, count);
    }

    private static MemorySegment list(ListVector lists, int row) {
        BaseFixedWidthVector data = (BaseFixedWidthVector) lists.getDataVector();
        long from = (long) lists.getElementStartIndex(row) * data.getTypeWidth();
        long to = (long) lists.getElementEndIndex(row) * data.getTypeWidth();
        return memory(data.getDataBuffer()).asSlice(from, to - from);
    }

    private static MemorySegment memory(ArrowBuf buffer) {
        return MemorySegment.ofAddress(buffer.memoryAddress()).reinterpret(buffer.capacity());
    }
}
