package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.TransformCodec;
import io.sparrowkv.encode.NonFiniteVectorException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.stream.VectorTarget;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * The vectors of one site of a sequence in transform-coded blocks: each block of each KV head is packed by itself as soon as it is full,
 * keys as they were before RoPE. A block that is being filled lies there as it came.
 */
final class TransformedSite implements KvSite, VectorTarget {
    private static final int FIRST_BLOCKS = 16;
    private static final int TOKENS = CodeBlockLayout.TOKENS;

    /** Packed bytes of each head. */
    private record Block(Arena arena, MemorySegment[] heads) {
        long bytes() {
            return Arrays.stream(heads).mapToLong(MemorySegment::byteSize).sum();
        }
    }

    private final Site site;
    private final TransformCodec codec;
    private final int kvHeads;
    private final int dHead;
    /** The open block, {@code [kvHeads][TOKENS, dHead]}. */
    private final float[][] open;

    private Block[] blocks = new Block[FIRST_BLOCKS];
    private int sealed;
    private int released;
    private long bytes;
    private volatile int tokens;

    TransformedSite(Site site, TransformCodec codec, int kvHeads) {
        this.site = site;
        this.codec = codec;
        this.kvHeads = kvHeads;
        this.dHead = codec.axes().dHead();
        this.open = new float[kvHeads][TOKENS * dHead];
    }

    @Override
    public Site site() {
        return site;
    }

    @Override
    public boolean beforeRope() {
        return site.kind() == VectorKind.KEY;
    }

    @Override
    public int tokens() {
        return tokens;
    }

    @Override
    public void accept(MemorySegment vectors, int firstToken, int count) {
        for (int i = 0; i < count; i++) {
            int token = (firstToken + i) % TOKENS;
            for (int head = 0; head < kvHeads; head++) {
                long from = ((long) i * kvHeads + head) * dHead * Float.BYTES;
                MemorySegment.copy(vectors, JAVA_FLOAT, from, open[head], token * dHead, dHead);
                NonFiniteVectorException.requireFinite(site, i * kvHeads + head, open[head], token * dHead, dHead);
            }
            if (token + 1 == TOKENS) {
                seal();
            }
            tokens = firstToken + i + 1;
        }
    }

    /**
     * Unpacks vectors of one head.
     *
     * @param count tokens of the block
     * @param rows written, fp32 {@code [count, dHead]}
     */
    void decode(int block, int head, int count, MemorySegment rows) {
        float[] vectors = open[head];
        MemorySegment packed = packed(block, head);
        if (packed.byteSize() > 0) {
            vectors = new float[TOKENS * dHead];
            codec.decode(packed.toArray(JAVA_BYTE), TOKENS, vectors);
        }
        MemorySegment.copy(vectors, 0, rows, JAVA_FLOAT, 0, count * dHead);
    }

    /** A head's bytes of a full block; of the open one, none. */
    private synchronized MemorySegment packed(int block, int head) {
        return block < sealed ? blocks[block].heads()[head] : MemorySegment.NULL;
    }

    private synchronized void seal() {
        if (sealed == blocks.length) {
            blocks = Arrays.copyOf(blocks, 2 * sealed);
        }
        Arena arena = Arena.ofShared();
        MemorySegment[] heads = new MemorySegment[kvHeads];
        for (int head = 0; head < kvHeads; head++) {
            heads[head] = arena.allocateFrom(JAVA_BYTE, codec.encode(open[head], TOKENS));
        }
        blocks[sealed] = new Block(arena, heads);
        bytes += blocks[sealed].bytes();
        sealed++;
    }

    @Override
    public synchronized void release(int block) {
        for (; released < Math.min(block, sealed); released++) {
            bytes -= blocks[released].bytes();
            blocks[released].arena().close();
            blocks[released] = null;
        }
    }

    @Override
    public synchronized int blocks() {
        return sealed - released;
    }

    @Override
    public synchronized CacheBytes.Codes bytes(boolean open) {
        long unpacked = open ? (long) kvHeads * TOKENS * dHead * Float.BYTES : 0;
        return new CacheBytes.Codes(0, bytes + unpacked, 0, 0);
    }

    @Override
    public void close() {
        release(Integer.MAX_VALUE);
    }
}
