package io.sparrowkv.store.chronicle;

import static io.sparrowkv.store.chronicle.StoreFaultsTest.CAPACITY;
import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.io.FolderTree;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Stores under random kills, damages and load by several processes: for seconds by default, and with Maven's profile {@code soak}
 * for so long that rare faults show.
 */
class StoreSoakTest {
    private static final Logger LOG = LoggerFactory.getLogger(StoreSoakTest.class);

    /** Processes killed, and files damaged. */
    private static final int ROUNDS = Integer.getInteger("sparrow.soak.rounds", 4);

    private static final int SECONDS = Integer.getInteger("sparrow.soak.seconds", 3);
    private static final int PROCESSES = Integer.getInteger("sparrow.soak.processes", 2);
    private static final long REOPENING_NANOS = 5_000_000_000L;

    /** Of the 256 MiB that the processes' heaps may grow to, in MiB. */
    private static final int MOST_GROWTH = 160;

    @TempDir
    Path folder;

    @Test
    @Timeout(value = 30, unit = TimeUnit.MINUTES)
    void aKilledWriterLosesNothingThatWasPut() throws IOException, InterruptedException {
        StoreProfile profile = Profiles.of(3, 128, 4);
        ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE).close();
        SplittableRandom random = new SplittableRandom(11);
        List<BlockKey> put = new ArrayList<>();
        for (int round = 0; round < ROUNDS; round++) {
            put.addAll(killedWriter(round, random.nextInt(400)));
            long start = System.nanoTime();
            try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, Sync.CLOSE);
                    Arena arena = Arena.ofConfined()) {
                long opening = System.nanoTime() - start;
                LOG.info("round {}: reopened in {} ms, {} blocks put so far", round, opening / 1_000_000, put.size());
                assertThat(opening).isLessThan(REOPENING_NANOS);
                long evicted = 0;
                for (BlockKey key : put) {
                    try (BlockLease lease = store.get(key).orElse(null)) {
                        if (lease == null) {
                            evicted++;
                        } else {
                            assertThat(lease.body().mismatch(Profiles.body(arena, key, lease.layout())))
                                    .isEqualTo(-1);
                        }
                    }
                }
                long room = store.manifest().prefixSlots() - store.manifest().prefixSlots() / 16;
                if (put.size() < room) {
                    assertThat(evicted).as("blocks lost in round %d", round).isZero();
                }
                // Make room, so that each round could lose something.
                store.evict(Long.MAX_VALUE);
                put.clear();
            }
        }
    }

    private List<BlockKey> killedWriter(int round, int millis) throws IOException, InterruptedException {
        Process writer = StoreProcess.start("write", folder.toString(), Integer.toString(round));
        List<BlockKey> put = new ArrayList<>();
        BufferedReader output = StoreProcess.output(writer);
        assertThat(output.readLine()).isEqualTo("writing");
        Thread killer = Thread.ofPlatform().start(() -> {
            try {
                Thread.sleep(millis);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            writer.toHandle().destroyForcibly(); // SIGKILL; what it has said can still be read
        });
        for (String line = output.readLine(); line != null; line = output.readLine()) {
            String[] words = line.split(" ");
            if (words.length == 4) { // the last line may be cut
                put.add(StoreProcess.key(
                        Long.parseLong(words[1]), Integer.parseInt(words[2]), Integer.parseInt(words[3])));
            }
        }
        killer.join();
        assertThat(writer.waitFor()).isEqualTo(128 + 9);
        return put;
    }

    @Test
    @Timeout(value = 60, unit = TimeUnit.MINUTES)
    void flippedBitsAndCutsAreMissesAndNeverCrash() throws IOException, InterruptedException {
        StoreProfile profile = Profiles.of(2, 128, 4);
        Path original = folder.resolve("original");
        List<BlockKey> keys = StoreFaultsTest.filled(original, profile, 400);
        SplittableRandom random = new SplittableRandom(5);
        for (int round = 0; round <= ROUNDS; round++) {
            Path copy = folder.resolve("copy" + round);
            FolderTree.copy(original, copy);
            String what = damage(copy, random, round);
            Process reader = StoreProcess.start("read", copy.toString());
            String found = StoreProcess.output(reader).readLine();
            assertThat(reader.waitFor(60, TimeUnit.SECONDS))
                    .as("%s: ends", what)
                    .isTrue();
            LOG.info("{}: {}", what, found);
            assertThat(reader.exitValue()).as(what).isZero();
            assertThat(found).as(what).contains(" wrong 0 ");
            assertThat(Long.parseLong(found.split(" ")[1])).as(what).isLessThanOrEqualTo(keys.size());
            FolderTree.delete(copy);
        }
    }

    @Test
    @Timeout(value = 30, unit = TimeUnit.MINUTES)
    void processesThatReadAndWriteAtOnceLoseNothingAndNeverSeeAWrongBlock() throws IOException, InterruptedException {
        Path roomy = folder.resolve("roomy");
        Path small = folder.resolve("small");
        long roomyCapacity = 48 << 20;
        long smallCapacity = 4 << 20;
        ChronicleBlockStore.create(roomy, Profiles.of(2, 128, 4), roomyCapacity, Sync.CLOSE)
                .close();
        ChronicleBlockStore.create(small, Profiles.of(2, 128, 4), smallCapacity, Sync.CLOSE)
                .close();
        List<Process> processes = new ArrayList<>();
        for (int seed = 0; seed < PROCESSES; seed++) {
            processes.add(StoreProcess.start(
                    "mixed",
                    roomy.toString(),
                    small.toString(),
                    Integer.toString(seed),
                    Long.toString(1000L * SECONDS)));
        }
        for (Process process : processes) {
            String found = StoreProcess.output(process).readLine();
            LOG.info("{}", found);
            assertThat(process.waitFor()).isZero();
            assertThat(found)
                    .matches("read [1-9][0-9]* wrong 0 lost 0 damaged 0 texts [1-9][0-9]* restored [1-9][0-9]*"
                            + " evicted [1-9][0-9]* rejected 0 grown -?[0-9]+");
            assertThat(Integer.parseInt(found.substring(found.lastIndexOf(' ') + 1)))
                    .as("MiB of memory more than after a quarter of the time")
                    .isLessThan(MOST_GROWTH);
        }
        assertInOrder(roomy, roomyCapacity);
        assertInOrder(small, smallCapacity);
    }

    private static void assertInOrder(Path folder, long capacity) throws IOException {
        try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, Sync.CLOSE)) {
            assertThat(store.fileBytes()).isLessThanOrEqualTo(capacity);
            StoreInspection.Verification found = StoreInspection.verify(store);
            LOG.info("{}: {} bytes, {}", folder.getFileName(), store.fileBytes(), found);
            assertThat(found.damaged()).isZero();
            ChronicleBlockStoreTest.assertEveryPrefixFollowsAnother(store);
        }
    }

    /** Damages one place: where nothing lies, where blocks lie, or what leads to them; each fifth is a cut. */
    private static String damage(Path folder, SplittableRandom random, int round) throws IOException {
        String name = List.of("blocks.dat", "blocks.dat", "prefixes.dat", "owner", "dense.dat")
                .get(random.nextInt(5));
        Path file = folder.resolve(name);
        long size = Files.size(file);
        if (round % 5 == 4) {
            long length = random.nextLong(size);
            try (RandomAccessFile cut = new RandomAccessFile(file.toFile(), "rw")) {
                cut.setLength(length);
            }
            return "%s cut from %d to %d bytes".formatted(name, size, length);
        }
        if (round % 2 == 0) {
            Files.deleteIfExists(folder.resolve("owner")); // so that no seal tells, as after a crash
        }
        int flips = 1 + random.nextInt(64);
        long reach = Math.max(1, random.nextBoolean() ? size : Math.min(size, 64 << 10));
        for (int i = 0; i < flips && Files.exists(file); i++) {
            StoreFaultsTest.flip(file, random.nextLong(reach), random.nextInt(8));
        }
        return "%s with %d flipped bits in its first %d bytes, round %d".formatted(name, flips, reach, round);
    }
}
