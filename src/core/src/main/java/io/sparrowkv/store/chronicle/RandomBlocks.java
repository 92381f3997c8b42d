package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;

/** Random blocks in the shape of a large model's codes, put into a store and viewed there: what stores are measured with. */
public final class RandomBlocks implements AutoCloseable {
    /** Width of a head's vectors. */
    public static final int D_HEAD = 128;

    /** Pairs of a key's code. */
    public static final int KEY_BUDGET = 8;

    /** Pairs of a value's code. */
    public static final int VALUE_BUDGET = 16;

    private static final int LATENTS = 4096;
    private static final long SEED = 1;

    private final ChronicleBlockStore store;
    private final StoreProfile profile;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment body;
    private final BlockLease[] leases;

    /** @param store of {@link #profile}; the caller's, must outlive this object */
    public RandomBlocks(ChronicleBlockStore store) {
        this.store = store;
        profile = store.manifest().profile();
        leases = new BlockLease[2 * profile.layers()];
        body = arena.allocate(profile.layout(0, VectorKind.VALUE).byteSize(), CodeBlockLayout.ALIGNMENT);
        SplittableRandom random = new SplittableRandom(SEED);
        for (long i = 0; i < body.byteSize(); i += Long.BYTES) {
            body.set(ValueLayout.JAVA_LONG, i, random.nextLong());
        }
    }

    /** The profile of such blocks: budgets 8/16, nothing dense. */
    public static StoreProfile profile(int layers, int kvHeads) {
        List<Integer> key = Collections.nCopies(layers, KEY_BUDGET);
        List<Integer> value = Collections.nCopies(layers, VALUE_BUDGET);
        return new StoreProfile(
                CodeBlockLayout.CODEC,
                "random",
                "random",
                LATENTS,
                layers,
                kvHeads,
                D_HEAD,
                0,
                0,
                key,
                value,
                key,
                value);
    }

    /** Puts the blocks of all layers of one block of tokens; returns their bytes. */
    public long put(long tokens) {
        long bytes = 0;
        for (int layer = 0; layer < profile.layers(); layer++) {
            for (VectorKind kind : VectorKind.values()) {
                CodeBlockLayout layout = profile.layout(layer, kind);
                store.put(key(tokens, layer, kind), layout, body.asSlice(0, layout.byteSize()));
                bytes += layout.byteSize();
            }
        }
        return bytes;
    }

    /**
     * Leases the blocks of all layers of one block of tokens together, and gives them back; returns their number.
     *
     * @throws java.util.NoSuchElementException when one is missing
     */
    public int view(long tokens) {
        int count = 0;
        for (int layer = 0; layer < profile.layers(); layer++) {
            for (VectorKind kind : VectorKind.values()) {
                leases[count++] = store.get(key(tokens, layer, kind)).orElseThrow();
            }
        }
        for (BlockLease lease : leases) {
            lease.close();
        }
        return count;
    }

    private static BlockKey key(long tokens, int layer, VectorKind kind) {
        return new BlockKey(BlockKey.chain(SEED, tokens), Site.of(layer, kind));
    }

    @Override
    public void close() {
        arena.close();
    }
}
