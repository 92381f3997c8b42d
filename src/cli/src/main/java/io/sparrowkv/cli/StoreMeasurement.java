package io.sparrowkv.cli;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.RandomBlocks;
import io.sparrowkv.store.chronicle.StoreProfile;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;

/**
 * How fast a new store on disk is filled, opened and viewed, by one thread.
 *
 * @param codeBytes bytes of the blocks that were put
 * @param putMegabytesPerSecond of them into fresh files, checksums included; the disk may still be writing
 * @param closeSeconds time of closing it: until all is on the disk
 * @param openSeconds median time of opening it after it was closed, its files in the page cache
 * @param checkMegabytesPerSecond of the codes when they are first viewed after that, checksums included
 * @param viewsPerSecond blocks leased and given back, those of a block of tokens together, when they were checked before
 * @param overhead bytes of all files for each byte of codes that they have room for
 */
record StoreMeasurement(
        long codeBytes,
        double putMegabytesPerSecond,
        double closeSeconds,
        double openSeconds,
        double checkMegabytesPerSecond,
        double viewsPerSecond,
        double overhead) {
    private static final double NANOS = 1e9;
    private static final double MEGA = 1e6;
    private static final int OPENINGS = 5;

    /** Room beyond the codes: maps are not filled evenly. */
    private static final double ROOM = 1.3;

    private static final long SPARE = 64 << 20;

    static StoreMeasurement of(Path folder, int layers, int kvHeads, int tokens, Duration time) throws IOException {
        StoreProfile profile = RandomBlocks.profile(layers, kvHeads);
        int blocks = tokens / CodeBlockLayout.TOKENS;
        long bytes = (long) (profile.codeBytesPerToken() * CodeBlockLayout.TOKENS * blocks);
        long start;
        double put;
        try (ChronicleBlockStore store =
                        ChronicleBlockStore.create(folder, profile, SPARE + (long) (ROOM * bytes), Sync.CLOSE);
                RandomBlocks random = new RandomBlocks(store)) {
            start = System.nanoTime();
            for (int block = 0; block < blocks; block++) {
                random.put(block);
            }
            put = bytes / MEGA / secondsSince(start);
            start = System.nanoTime();
        }
        double close = secondsSince(start);
        double[] openings = new double[OPENINGS];
        for (int i = 0; i < OPENINGS; i++) {
            start = System.nanoTime();
            try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, profile, Sync.CLOSE)) {
                openings[i] = secondsSince(start);
            }
        }
        Arrays.sort(openings);
        try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, profile, Sync.CLOSE);
                RandomBlocks random = new RandomBlocks(store)) {
            start = System.nanoTime();
            for (int block = 0; block < blocks; block++) {
                random.view(block);
            }
            double check = bytes / MEGA / secondsSince(start);
            viewsPerSecond(random, blocks, time); // until it is compiled
            double views = viewsPerSecond(random, blocks, time);
            double room = profile.codeBytesPerToken() * store.manifest().tokens();
            return new StoreMeasurement(
                    bytes, put, close, openings[OPENINGS / 2], check, views, store.fileBytes() / room);
        }
    }

    private static double viewsPerSecond(RandomBlocks random, int blocks, Duration time) {
        long viewed = 0;
        long start = System.nanoTime();
        for (int block = 0; System.nanoTime() - start < time.toNanos(); block = (block + 1) % blocks) {
            viewed += random.view(block);
        }
        return viewed / secondsSince(start);
    }

    private static double secondsSince(long start) {
        return (System.nanoTime() - start) / NANOS;
    }
}
