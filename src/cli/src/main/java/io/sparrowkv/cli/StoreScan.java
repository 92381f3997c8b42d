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
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;

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
    private static final double NANOS_PER_MICRO = 1e3;

    static StoreScan of(
            EncoderBackend encoders, Path folder, int kvHeads, int tokens, int threads, Duration time)
            throws IOException {
        int dHead = StoreMeasurement.D_HEAD;
        CacheOptions options = CacheOptions.defaults().withThreads(threads);
        AttentionShape shape = AttentionShape.of(1, GROUP * kvHeads, kvHeads, dHead);
        var profile = options.storeProfile(shape, "random", "random");
        long capacity = 2 * (long) (profile.codeBytesPerToken() * tokens) + (128L << 20);
        try (DictionarySet dictionaries = RandomDictionaries.set(1, 0, RopeStage.POST, dHead, LATENTS, LATENTS, 1);
                BlockStore arrow = new ArrowBlockStore(Long.MAX_VALUE);
                BlockStore chronicle = ChronicleBlockStore.create(folder, profile, capacity, Sync.CLOSE);
                SparseCache inProcess = cache(shape, dictionaries, encoders, arrow, options);
                SparseCache onDisk = cache(shape, dictionaries, encoders, chronicle, options);
                Arena arena = Arena.ofShared()) {
            long vector = (long) dHead * Float.BYTES;
            MemorySegment queries = arena.allocate(CHUNK * shape.heads() * vector, 64);
            MemorySegment keys = arena.allocate(CHUNK * kvHeads * vector, 64);
            MemorySegment values = arena.allocate(CHUNK * kvHeads * vector, 64);
            MemorySegment output = arena.allocate(CHUNK * shape.heads() * vector, 64);
            for (int from = 0; from < tokens; from += CHUNK) {
                RandomDictionaries.fill(queries, from);
                RandomDictionaries.fill(keys, from + 1);
                RandomDictionaries.fill(values, from + 2);
                inProcess.attend(0, queries, keys, values, CHUNK, output);
                onDisk.attend(0, queries, keys, values, CHUNK, output);
            }
            double first = Median.nanosPerCall(
                    time, () -> inProcess.attend(0, queries, keys, values, 1, output));
            double second = Median.nanosPerCall(time, () -> onDisk.attend(0, queries, keys, values, 1, output));
            return new StoreScan(first / NANOS_PER_MICRO, second / NANOS_PER_MICRO);
        }
    }

    private static SparseCache cache(
            AttentionShape shape,
            DictionarySet dictionaries,
            EncoderBackend encoders,
            BlockStore store,
            CacheOptions options) {
        float[] frequencies = new float[shape.dHead() / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = (float) Math.pow(10_000, -2.0 * i / shape.dHead());
        }
        return new SparseCache(shape, new RotaryEmbedding(frequencies), dictionaries, encoders, store, options);
    }
}
