package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.encode.NonFiniteVectorException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.stream.VectorTarget;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The quantized vectors of one site of a sequence: blocks of {@code [kvHeads, TOKENS]} packed vectors in memory of their own, filled
 * in place.
 */
final class QuantizedSite implements KvSite, VectorTarget {
    private static final int FIRST_BLOCKS = 16;
    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private record Block(Arena arena, MemorySegment body) {}

    private final Site site;
    private final VectorCodec codec;
    private final int kvHeads;
    private final float[] vector;
    private volatile Block[] blocks = new Block[FIRST_BLOCKS];
    private int released;
    private volatile int tokens;

    QuantizedSite(Site site, VectorCodec codec, int kvHeads) {
        this.site = site;
        this.codec = codec;
        this.kvHeads = kvHeads;
        vector = new float[codec.dHead()];
    }

    @Override
    public Site site() {
        return site;
    }

    @Override
    public boolean beforeRope() {
        return false;
    }

    @Override
    public int tokens() {
        return tokens;
    }

    @Override
    public void accept(MemorySegment vectors, int firstToken, int count) {
        for (int i = 0; i < count; i++) {
            int token = firstToken + i;
            MemorySegment body = block(token / TOKENS);
            for (int head = 0; head < kvHeads; head++) {
                long from = ((long) i * kvHeads + head) * vector.length * Float.BYTES;
                MemorySegment.copy(vectors, JAVA_FLOAT, from, vector, 0, vector.length);
                NonFiniteVectorException.requireFinite(site, i * kvHeads + head, vector, 0, vector.length);
                codec.encode(vector, body, offset(head, token % TOKENS));
            }
            tokens = token + 1;
        }
    }

    /**
     * Unpacks vectors of one head.
     *
     * @param count tokens of the block
     * @param scratch {@code [dHead]}
     * @param rows written, fp32 {@code [count, dHead]}
     */
    void decode(int block, int head, int count, float[] scratch, MemorySegment rows) {
        MemorySegment body = blocks[block].body();
        for (int t = 0; t < count; t++) {
            codec.decode(body, offset(head, t), scratch);
            MemorySegment.copy(scratch, 0, rows, JAVA_FLOAT, (long) t * scratch.length * Float.BYTES, scratch.length);
        }
    }

    @Override
    public synchronized void release(int block) {
        for (; released < Math.min(block, tokens / TOKENS); released++) {
            blocks[released].arena().close();
            blocks[released] = null;
        }
    }

    @Override
    public synchronized int blocks() {
        return tokens / TOKENS - released;
    }

    @Override
    public CacheBytes.Codes bytes(boolean open) {
        long scales = (long) kvHeads * TOKENS * codec.scaleBytes();
        return new CacheBytes.Codes(0, blockBytes() - scales, 0, scales).times(blocks() + (open ? 1 : 0));
    }

    @Override
    public void close() {
        release(Integer.MAX_VALUE);
        for (Block block : blocks) {
            if (block != null) {
                block.arena().close();
            }
        }
    }

    private long offset(int head, int token) {
        return ((long) head * TOKENS + token) * codec.vectorBytes();
    }

    private long blockBytes() {
        return (long) kvHeads * TOKENS * codec.vectorBytes();
    }

    private synchronized MemorySegment block(int index) {
        if (index == blocks.length) {
            blocks = Arrays.copyOf(blocks, 2 * index);
        }
        if (blocks[index] == null) {
            Arena arena = Arena.ofShared();
            blocks[index] = new Block(arena, arena.allocate(blockBytes(), CodeBlockLayout.ALIGNMENT));
        }
        return blocks[index].body();
    }
}
