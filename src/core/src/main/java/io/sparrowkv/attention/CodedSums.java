package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * What attention to coded tokens found for one token's queries, ready to be put together with what it finds for others: sums of values
 * with weights exp(score − reference). Sums of several parts are brought to the largest reference and added (Dao et al.,
 * flash-decoding).
 */
public final class CodedSums implements AutoCloseable {
    private final int heads;
    private final int dHead;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment sums;
    private final MemorySegment references;
    private final MemorySegment weights;

    private CodedSums(int heads, int dHead) {
        this.heads = heads;
        this.dHead = dHead;
        sums = arena.allocate((long) heads * dHead * Float.BYTES, 64);
        references = arena.allocate((long) heads * Float.BYTES, 64);
        weights = arena.allocate((long) heads * Float.BYTES, 64);
    }

    /** Allocates room for a token's query heads. */
    public static CodedSums allocate(int heads, int dHead) {
        return new CodedSums(heads, dHead);
    }

    /** Weighted sums of values, fp32 {@code [heads, dHead]}. */
    public MemorySegment sums() {
        return sums;
    }

    /** The score that each head's weights are relative to, fp32 {@code [heads]}. */
    public MemorySegment references() {
        return references;
    }

    /** Sum of each head's weights, fp32 {@code [heads]}; 0 when it saw no token. */
    public MemorySegment weights() {
        return weights;
    }

    /** Writes attention's output where these tokens are all that is seen, fp32 {@code [heads, dHead]}. */
    public void writeOutput(MemorySegment output) {
        for (int head = 0; head < heads; head++) {
            float weight = weights.getAtIndex(JAVA_FLOAT, head);
            for (int d = 0; d < dHead; d++) {
                long at = (long) head * dHead + d;
                output.setAtIndex(JAVA_FLOAT, at, sums.getAtIndex(JAVA_FLOAT, at) / weight);
            }
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
