package io.sparrowkv.cli;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.RotaryEmbedding;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.BlockStore;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.RandomBlocks;
import io.sparrowkv.store.chronicle.StoreProfile;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * One token's attention over a long context whose codes lie in this process's memory, and in a store on disk.
 *
 * @param arrowMicros median time with codes in the process
 * @param chronicleMicros median time with codes in the mapped memory of a store
 */
record StoreScan(double arrowMicros, double chronicleMicros) {
    private static final int GROUP = 4;
    private static final int LATENTS = 4096;
    private static final int CHUNK = 512;
    private static final double ROPE_THETA = 10_000;
    private static final double NANOS_PER_MICRO = 1e3;
    private static final long SPARE = 128L << 20;

    /** Measures both by turns, so that what else the machine does meets both alike. */
    static StoreScan of(EncoderBackend encoders, Path folder, int kvHeads, int tokens, int threads, Duration time)
            throws IOException {
        int dHead = RandomBlocks.D_HEAD;
        CacheOptions options = CacheOptions.defaults().withThreads(threads);
        AttentionShape shape = AttentionShape.of(1, GROUP * kvHeads, kvHeads, dHead);
        try (DictionarySet dictionaries = RandomDictionaries.set(1, 0, RopeStage.POST, dHead, LATENTS, LATENTS, 1)) {
            StoreProfile profile = options.storeProfile(shape, "random", dictionaries);
            long capacity = 2 * (long) (profile.codeBytesPerToken() * tokens) + SPARE;
            return of(encoders, folder, capacity, shape, dictionaries, options, profile, tokens, time);
        }
    }

    private static StoreScan of(
            EncoderBackend encoders,
            Path folder,
            long capacity,
            AttentionShape shape,
            DictionarySet dictionaries,
            CacheOptions options,
            StoreProfile profile,
            int tokens,
            Duration time)
            throws IOException {
        int dHead = shape.dHead();
        RotaryEmbedding rotary = RotaryEmbedding.plain(dHead, ROPE_THETA);
        try (BlockStore arrow = new ArrowBlockStore(Long.MAX_VALUE);
                BlockStore chronicle = ChronicleBlockStore.create(folder, profile, capacity, Sync.CLOSE);
                SparseCache inProcess = new SparseCache(shape, rotary, dictionaries, encoders, arrow, options);
                SparseCache onDisk = new SparseCache(shape, rotary, dictionaries, encoders, chronicle, options);
                Arena arena = Arena.ofShared()) {
            MemorySegment output = arena.allocate((long) CHUNK * shape.heads() * dHead * Float.BYTES, 64);
            MemorySegment queries = RandomDictionaries.vectors(arena, CHUNK * shape.heads(), dHead, 1);
            MemorySegment keys = RandomDictionaries.vectors(arena, CHUNK * shape.kvHeads(), dHead, 2);
            MemorySegment values = RandomDictionaries.vectors(arena, CHUNK * shape.kvHeads(), dHead, 3);
            for (int from = 0; from < tokens; from += CHUNK) {
                inProcess.attend(0, queries, keys, values, CHUNK, output);
                onDisk.attend(0, queries, keys, values, CHUNK, output);
            }
            List<Long> arrowNanos = new ArrayList<>();
            List<Long> chronicleNanos = new ArrayList<>();
            long end = System.nanoTime() + 2 * time.toNanos();
            while (System.nanoTime() < end || arrowNanos.isEmpty()) {
                arrowNanos.add(nanos(() -> inProcess.attend(0, queries, keys, values, 1, output)));
                chronicleNanos.add(nanos(() -> onDisk.attend(0, queries, keys, values, 1, output)));
            }
            return new StoreScan(medianMicros(arrowNanos), medianMicros(chronicleNanos));
        }
    }

    private static long nanos(Runnable call) {
        long start = System.nanoTime();
        call.run();
        return System.nanoTime() - start;
    }

    private static double medianMicros(List<Long> nanos) {
        Collections.sort(nanos);
        return nanos.get(nanos.size() / 2) / NANOS_PER_MICRO;
    }
}
