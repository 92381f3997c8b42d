package io.sparrowkv.attention;

import static io.sparrowkv.attention.Lanes.LANES;
import static io.sparrowkv.attention.Lanes.load;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.RotatedCodec;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;

/** Keeps beside codes what they leave of their vectors. Used by one thread, for all sites of a sequence. */
final class ResidualWriter {
    private final UnpackedCodes codes;
    /** What a head's codes stand for, fp32 {@code [TOKENS, dHead]}. */
    private final MemorySegment decoded;

    private final float[] residual;

    ResidualWriter(Arena arena, int dHead, int largestBudget) {
        codes = new UnpackedCodes(largestBudget);
        decoded = arena.allocate((long) CodeBlockLayout.TOKENS * dHead * Float.BYTES, 64);
        residual = new float[dHead];
    }

    /**
     * Writes the residuals of codes that a block has already.
     *
     * @param vectors what was coded, fp32 {@code [tokens, kvHeads, dHead]}
     * @param from the first token in {@code vectors}
     * @param token the same token in the block
     * @param count tokens
     */
    void write(
            CodeBlockLayout layout,
            RotatedCodec codec,
            Dictionary dictionary,
            MemorySegment vectors,
            int from,
            int head,
            int token,
            int count,
            MemorySegment body) {
        int dHead = layout.dHead();
        codes.read(layout, body, head, token + count, dHead * Float.BYTES);
        BlockDecoder.decode(
                codes,
                layout.budget(),
                token + count,
                dHead,
                dictionary.decoderWeights(),
                dictionary.decoderBias(),
                decoded);
        long code = layout.rowOffset(body, head, token);
        for (int i = 0; i < count; i++) {
            int pairs = layout.pairs(body, head, token + i);
            long vector = ((long) (from + i) * layout.kvHeads() + head) * dHead;
            long row = (long) (token + i) * dHead;
            for (int d = 0; d < dHead; d++) {
                residual[d] = vectors.getAtIndex(JAVA_FLOAT, vector + d) - decoded.getAtIndex(JAVA_FLOAT, row + d);
            }
            codec.encode(residual, body, code + layout.residualOffset(pairs));
            code += layout.rowBytes(pairs);
        }
    }

    /**
     * Adds the residuals of a head's first codes, or some columns of them, to what their pairs stand for.
     *
     * @param scratch {@code [layout.dHead]}
     * @param column the first that is added
     * @param columns how many are
     * @param rows fp32 {@code [count, columns]}
     */
    static void add(
            CodeBlockLayout layout,
            RotatedCodec codec,
            MemorySegment body,
            int head,
            int count,
            float[] scratch,
            int column,
            int columns,
            MemorySegment rows) {
        long code = layout.rowOffset(body, head, 0);
        for (int t = 0; t < count; t++) {
            int pairs = layout.pairs(body, head, t);
            codec.decode(body, code + layout.residualOffset(pairs), scratch);
            code += layout.rowBytes(pairs);
            long row = (long) t * columns * Float.BYTES;
            int d = 0;
            for (; d <= columns - LANES; d += LANES) {
                long at = row + (long) d * Float.BYTES;
                load(rows, at)
                        .add(FloatVector.fromArray(Lanes.FLOATS, scratch, column + d))
                        .intoMemorySegment(rows, at, Lanes.ORDER);
            }
            for (; d < columns; d++) {
                long at = (long) t * columns + d;
                rows.setAtIndex(JAVA_FLOAT, at, rows.getAtIndex(JAVA_FLOAT, at) + scratch[column + d]);
            }
        }
    }
}
