package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * The load of one process among several, and what it expects to find: it puts, reads and removes in a store with room for all of it,
 * where nothing may be lost, and in one that is too small, where texts are evicted all the time and none may be wrong.
 */
final class MixedLoad {
    private static final int OWN_PREFIXES = 300;
    private static final int SHARED_PREFIXES = 300;
    private static final int TEXTS = 40;

    private final StoreProfile profile;
    private final SplittableRandom random;
    private final long seed;
    private final Set<BlockKey> present = new HashSet<>();
    private long read;
    private long wrong;
    private long lost;
    private long restored;

    private MixedLoad(StoreProfile profile, long seed) {
        this.profile = profile;
        this.seed = seed;
        random = new SplittableRandom(seed);
    }

    /** Works on a block that is this process's alone, or on one that others put and remove as well. */
    private void block(ChronicleBlockStore store) {
        boolean own = random.nextBoolean();
        long prefix = own ? 1_000_000 * (seed + 1) + random.nextInt(OWN_PREFIXES) : random.nextInt(SHARED_PREFIXES);
        BlockKey key = StoreProcess.key(prefix, random.nextInt(profile.layers()), random.nextInt(2));
        CodeBlockLayout layout = profile.layout(key.site().layer(), key.site().kind());
        int choice = random.nextInt(10);
        try (Arena arena = Arena.ofConfined()) {
            if (choice < 3) {
                store.put(key, layout, Profiles.body(arena, key, layout));
                present.add(key);
            } else if (choice < 9) {
                Optional<BlockLease> lease = store.get(key);
                lost += own && present.contains(key) && lease.isEmpty() ? 1 : 0;
                if (lease.isPresent()) {
                    read++;
                    wrong += lease.get().body().mismatch(Profiles.body(arena, key, layout)) >= 0 ? 1 : 0;
                    lease.get().close();
                }
            } else {
                store.remove(key);
                present.remove(key);
            }
        } catch (InvalidInputException e) {
            // Another process is removing this shared prefix at this moment.
            lost += own ? 1 : 0;
        }
    }

    /** Reads a text of those that all processes share, keeps the rest of it, and compares what the store had. */
    private void text(ChronicleBlockStore store) {
        StoreProfile shape = store.manifest().profile();
        int[] tokens = Profiles.tokens(random.nextInt(TEXTS), 4 + 64 * (4 + random.nextInt(8)) + 1);
        try (Arena arena = Arena.ofConfined();
                StoredSequence sequence = store.sequence(tokens)) {
            for (int block = 0; block < sequence.restoredBlocks(); block++) {
                int layer = random.nextInt(shape.layers());
                MemorySegment expected = Profiles.blockBody(arena, tokens, block, layer, VectorKind.KEY, shape);
                wrong += sequence.block(block, Site.of(layer, VectorKind.KEY)).mismatch(expected) >= 0 ? 1 : 0;
                restored++;
            }
        }
        try (Arena arena = Arena.ofConfined()) {
            Profiles.fill(store, tokens, arena);
        }
    }

    /** Works for some time, and says in one line what it found. */
    static String run(ChronicleBlockStore roomy, Path smallFolder, long seed, long millis) throws IOException {
        MixedLoad load = new MixedLoad(roomy.manifest().profile(), seed);
        long start = System.nanoTime();
        long end = start + millis * 1_000_000;
        long quarter = start + millis * 250_000;
        long anonymous = 0;
        long texts = 0;
        try (ChronicleBlockStore small = ChronicleBlockStore.open(smallFolder, Sync.INTERVAL)) {
            for (long now = start; now < end; now = System.nanoTime()) {
                for (int i = 0; i < 200; i++) {
                    load.block(roomy);
                }
                load.text(small);
                texts++;
                if (anonymous == 0 && now > quarter) {
                    anonymous = anonymousMemory();
                }
            }
            return "read %d wrong %d lost %d damaged %d texts %d restored %d evicted %d rejected %d grown %d"
                    .formatted(
                            load.read,
                            load.wrong,
                            load.lost,
                            roomy.counters().damaged() + small.counters().damaged(),
                            texts,
                            load.restored,
                            small.counters().evictedPrefixes(),
                            roomy.counters().rejected(), // the small one has no room for all windows
                            (anonymousMemory() - anonymous) >> 20);
        }
    }

    /** Memory of this process that is no file's, in bytes; what is mapped belongs to the page cache. */
    private static long anonymousMemory() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("RssAnon:")) {
                return 1024 * Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        throw new IOException("/proc/self/status has no RssAnon");
    }
}
