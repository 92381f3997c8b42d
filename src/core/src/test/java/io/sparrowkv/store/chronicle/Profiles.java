package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Collections;
import java.util.SplittableRandom;

/** Small profiles, and blocks whose content follows from their key. */
final class Profiles {
    /** Leaves bits that are finite numbers, as fp16 and as fp32. */
    private static final long FINITE = 0x3FFF_3FFF_3FFF_3FFFL;

    private Profiles() {}

    static StoreProfile of(int layers, int window, int sinks) {
        return new StoreProfile(
                CodeBlockLayout.CODEC,
                "model-a",
                "dictionaries-a",
                1 << 16,
                layers,
                2,
                16,
                window,
                sinks,
                Collections.nCopies(layers, 3),
                Collections.nCopies(layers, 5),
                Collections.nCopies(layers, 3),
                Collections.nCopies(layers, 5));
    }

    static MemorySegment body(Arena arena, BlockKey key, CodeBlockLayout layout) {
        return bytes(
                arena,
                key.prefix() * 31 + key.site().layer() * 2L + key.site().kind().ordinal(),
                layout.byteSize());
    }

    static MemorySegment bytes(Arena arena, long seed, long size) {
        MemorySegment body = arena.allocate(size, 64);
        SplittableRandom random = new SplittableRandom(seed);
        for (long i = 0; i + 8 <= size; i += 8) {
            body.set(ValueLayout.JAVA_LONG, i, random.nextLong() & FINITE);
        }
        return body;
    }

    static int[] tokens(long seed, int count) {
        return new SplittableRandom(seed).ints(count, 0, 5000).toArray();
    }

    /** Puts all of a sequence's codes and dense vectors, as a cache would. */
    static void fill(ChronicleBlockStore store, int[] tokens, Arena arena) {
        StoreProfile profile = store.manifest().profile();
        try (StoredSequence sequence = store.sequence(tokens)) {
            int blocks = (tokens.length - profile.sinks()) / CodeBlockLayout.TOKENS;
            long vector = (long) profile.kvHeads() * profile.dHead() * Float.BYTES;
            for (int layer = 0; layer < profile.layers(); layer++) {
                for (VectorKind kind : VectorKind.values()) {
                    long seed = layer * 2L + kind.ordinal();
                    sequence.keepSinks(layer, kind, bytes(arena, seed, profile.sinks() * vector));
                    for (int block = sequence.restoredBlocks(); block < blocks; block++) {
                        CodeBlockLayout layout = profile.layout(layer, kind);
                        sequence.keep(block, layout, blockBody(arena, tokens, block, layer, kind, profile));
                        if (sequence.wantsDense(block)) {
                            sequence.keepDense(
                                    block,
                                    layer,
                                    kind,
                                    bytes(arena, seed + 100 * block, CodeBlockLayout.TOKENS * vector));
                        }
                    }
                }
            }
        }
    }

    static MemorySegment blockBody(
            Arena arena, int[] tokens, int block, int layer, VectorKind kind, StoreProfile profile) {
        long seed = layer * 2L + kind.ordinal();
        for (int i = 0; i < profile.sinks() + (block + 1) * CodeBlockLayout.TOKENS; i++) {
            seed = BlockKey.chain(seed, tokens[i]);
        }
        return bytes(arena, seed, profile.layout(layer, kind).byteSize());
    }
}
