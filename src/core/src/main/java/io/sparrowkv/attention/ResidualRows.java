package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.RotatedCodec;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** What the codes of one KV head of a block leave, unpacked. The scratch memory of one thread. */
final class ResidualRows {
    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private final int numbers;
    private final MemorySegment rows;
    private final long[] offsets = new long[TOKENS];
    private final float[] vector;

    /** @param numbers of a residual, at each site that keeps residuals; 0 where none does */
    ResidualRows(Arena arena, int numbers) {
        this.numbers = numbers;
        rows = arena.allocate((long) TOKENS * numbers * Float.BYTES, 64);
        vector = new float[numbers];
    }

    /** Numbers of a residual: of several heads where they are coded together. */
    int numbers() {
        return numbers;
    }

    /** What was unpacked last, fp32: {@code [count, numbers]} rotated, {@code [count, dHead]} otherwise. */
    MemorySegment rows() {
        return rows;
    }

    /** Unpacks residuals as they are in the rotated space of their codec. */
    void decodeRotated(CodedSite site, int kvHead, int block, int count) {
        site.residualOffsets(block, kvHead, count, offsets);
        site.residualCodec().decodeRotated(site.body(block), offsets, count, rows);
    }

    /** Unpacks residuals of the head's vectors. */
    void decode(CodedSite site, int kvHead, int block, int count) {
        site.residualOffsets(block, kvHead, count, offsets);
        RotatedCodec codec = site.residualCodec();
        MemorySegment body = site.body(block);
        int dHead = site.atoms(kvHead).dHead();
        int column = site.column(kvHead);
        for (int t = 0; t < count; t++) {
            codec.decode(body, offsets[t], vector);
            MemorySegment.copy(vector, column, rows, JAVA_FLOAT, (long) t * dHead * Float.BYTES, dHead);
        }
    }
}
