package io.sparrowkv.stream;

import java.lang.foreign.MemorySegment;

/** Room for the vectors of some consecutive tokens of one site, from {@link KvStream#acquire} until {@link KvStream#submit}. */
public final class VectorBatch {
    private final MemorySegment vectors;
    BatchTarget target;
    int firstToken;
    int tokens;

    VectorBatch(MemorySegment vectors) {
        this.vectors = vectors;
    }

    /** fp32 {@code [batchTokens, kvHeads, dHead]}, to be written by the submitter. */
    public MemorySegment vectors() {
        return vectors;
    }
}
