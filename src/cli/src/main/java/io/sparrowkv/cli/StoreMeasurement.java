package io.sparrowkv.cli;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.StoreProfile;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/**
 * How fast blocks go into a store on disk and are viewed there.
 *
 * @param codeBytes bytes of the blocks that were put
 * @param putMegabytesPerSecond of them, checksums included, by one thread
 * @param checkMegabytesPerSecond of them when they are first viewed after the store was opened, checksums included
 * @param viewsPerSecond leases taken and given back, those of a prefix's blocks together, when the blocks were checked before
 * @param openSeconds time of opening the store after it was closed
 * @param overhead bytes of {@code blocks.dat} for each byte of the codes that it has room for
 */
record StoreMeasurement(
        long codeBytes,
        double putMegabytesPerSecond,
        double checkMegabytesPerSecond,
        double viewsPerSecond,
        double openSeconds,
        double overhead) {
    static final int D_HEAD = 128;
    static final int LATENTS = 4096;
    static final int KEY_BUDGET = 8;
    static final int VALUE_BUDGET = 16;
    private static final double NANOS = 1e9;
    private static final double MEGA = 1e6;
    private static final long SPARE = 64 << 20;

    static StoreMeasurement of(Path folder, int layers, int kvHeads, int tokens, Duration time) throws IOException {
        StoreProfile profile = profile(layers, kvHeads);
        int prefixes = tokens / CodeBlockLayout.TOKENS;
        long bytes = (long) (profile.codeBytesPerToken() * CodeBlockLayout.TOKENS * prefixes);
        List<BlockKey> keys = new ArrayList<>();
        for (int prefix = 1; prefix <= prefixes; prefix++) {
            for (int layer = 0; layer < layers; layer++) {
                for (VectorKind kind : VectorKind.values()) {
                    keys.add(new BlockKey(BlockKey.chain(prefix, 1), Site.of(layer, kind)));
                }
            }
        }
        double put = put(folder, profile, keys, bytes);
        long start = System.nanoTime();
        try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, profile, Sync.CLOSE)) {
            double open = (System.nanoTime() - start) / NANOS;
            start = System.nanoTime();
            view(store, keys, 2 * layers);
            double check = bytes / MEGA / ((System.nanoTime() - start) / NANOS);
            double views = viewsPerSecond(store, keys, 2 * layers, time);
            double room = profile.codeBytesPerToken() * store.manifest().tokens();
            double overhead = Files.size(folder.resolve("blocks.dat")) / room;
            return new StoreMeasurement(bytes, put, check, views, open, overhead);
        }
    }

    /** The profile of random codes in the shape of a large model. */
    static StoreProfile profile(int layers, int kvHeads) {
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

    private static double put(Path folder, StoreProfile profile, List<BlockKey> keys, long bytes) throws IOException {
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store =
                        ChronicleBlockStore.create(folder, profile, SPARE + (long) (1.6 * bytes), Sync.CLOSE)) {
            MemorySegment body =
                    arena.allocate(profile.layout(0, VectorKind.VALUE).byteSize(), 64);
            SplittableRandom random = new SplittableRandom(1);
            for (long i = 0; i < body.byteSize(); i += Long.BYTES) {
                body.set(ValueLayout.JAVA_LONG, i, random.nextLong());
            }
            long start = System.nanoTime();
            for (BlockKey key : keys) {
                CodeBlockLayout layout =
                        profile.layout(key.site().layer(), key.site().kind());
                store.put(key, layout, body.asSlice(0, layout.byteSize()));
            }
            return bytes / MEGA / ((System.nanoTime() - start) / NANOS);
        }
    }

    private static double viewsPerSecond(ChronicleBlockStore store, List<BlockKey> keys, int together, Duration time) {
        long viewed = 0;
        long start = System.nanoTime();
        long now = start;
        while (now - start < time.toNanos()) {
            view(store, keys, together);
            viewed += keys.size();
            now = System.nanoTime();
        }
        return viewed / ((now - start) / NANOS);
    }

    private static void view(ChronicleBlockStore store, List<BlockKey> keys, int together) {
        BlockLease[] leases = new BlockLease[together];
        for (int first = 0; first < keys.size(); first += together) {
            for (int i = 0; i < together; i++) {
                leases[i] = store.get(keys.get(first + i)).orElseThrow();
            }
            Stream.of(leases).forEach(BlockLease::close);
        }
    }
}
