package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.RotatedCodec;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

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
}
