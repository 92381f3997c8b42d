package io.sparrowkv.store.chronicle;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What a store survives. {@code -Dsparrow.store.rounds=100} makes a soak of it: so many kills and so many damaged files;
 * {@code -Dsparrow.store.mixedSeconds=600} so long a mixed load.
 */
class StoreFaultsTest {
    private static final Logger LOG = LoggerFactory.getLogger(StoreFaultsTest.class);
    private static final int KILLS = Integer.getInteger("sparrow.store.rounds", 4);
    private static final int DAMAGES = Integer.getInteger("sparrow.store.rounds", 5);
    private static final long MIXED_MILLIS = 1000L * Integer.getInteger("sparrow.store.mixedSeconds", 3);
    private static final long REOPENING_NANOS = 5_000_000_000L;
    private static final long CAPACITY = 24 << 20;

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
        for (int round = 0; round < KILLS; round++) {
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
        List<BlockKey> keys = filled(original, profile, 400);
        SplittableRandom random = new SplittableRandom(5);
        for (int round = 0; round < DAMAGES; round++) {
            Path copy = folder.resolve("copy" + round);
            copy(original, copy);
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
            delete(copy);
        }
    }

    @Test
    void aFlippedBitInABlockIsCountedAndTheBlockCanBePutAgain() throws IOException {
        StoreProfile profile = Profiles.of(1, 64, 0);
        List<BlockKey> keys = filled(folder, profile, 1);
        BlockKey key = keys.getFirst();
        try (Arena arena = Arena.ofConfined()) {
            byte[] body = Profiles.body(arena, key, profile.layout(0, key.site().kind()))
                    .toArray(ValueLayout.JAVA_BYTE);
            flip(folder.resolve("blocks.dat"), find(folder.resolve("blocks.dat"), body) + 17, 3);
            try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, Sync.CLOSE)) {
                assertThat(store.get(key)).isEmpty();
                assertThat(store.counters().damaged()).isEqualTo(1);
                assertThat(store.contains(key)).isFalse();
                store.put(key, profile.layout(0, key.site().kind()), MemorySegment.ofArray(body));
                assertThat(store.contains(key)).isTrue();
            }
        }
    }

    @Test
    void aStaleLockIsRecoveredAndALiveOneRespected() throws IOException, InterruptedException {
        StoreProfile profile = Profiles.of(1, 64, 0);
        List<BlockKey> keys = filled(folder, profile, 50);
        Process holder = StoreProcess.start("hold", folder.toString());
        assertThat(StoreProcess.output(holder).readLine()).isEqualTo("holding");
        try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, Sync.CLOSE)) {
            assertThat(store.owner().alone()).as("another process is seen").isFalse();
            assertThat(store.keys()).hasSameSizeAs(keys);
        }
        holder.destroyForcibly().waitFor();
        try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, Sync.CLOSE)) {
            assertThat(store.keys()).hasSameSizeAs(keys);
        }
    }

    @Test
    @Timeout(value = 30, unit = TimeUnit.MINUTES)
    void processesThatReadAndWriteAtOnceLoseNothingAndNeverSeeAWrongBlock() throws IOException, InterruptedException {
        Path roomy = folder.resolve("roomy");
        Path small = folder.resolve("small");
        long smallCapacity = 4 << 20;
        ChronicleBlockStore.create(roomy, Profiles.of(2, 128, 4), 48 << 20, Sync.CLOSE)
                .close();
        ChronicleBlockStore.create(small, Profiles.of(2, 128, 4), smallCapacity, Sync.CLOSE)
                .close();
        List<Process> processes = new ArrayList<>();
        for (int seed = 0; seed < (MIXED_MILLIS > 10_000 ? 4 : 2); seed++) {
            processes.add(StoreProcess.start(
                    "mixed", roomy.toString(), small.toString(), Integer.toString(seed), Long.toString(MIXED_MILLIS)));
        }
        for (Process process : processes) {
            String found = StoreProcess.output(process).readLine();
            LOG.info("{}", found);
            assertThat(process.waitFor()).isZero();
            assertThat(found)
                    .matches("read [1-9][0-9]* wrong 0 lost 0 damaged 0 texts [1-9][0-9]* restored [1-9][0-9]*"
                            + " evicted [1-9][0-9]* grown -?[0-9]+");
            assertThat(Integer.parseInt(found.substring(found.lastIndexOf(' ') + 1)))
                    .as("MiB of memory more than after a quarter of the time")
                    .isLessThan(MOST_GROWTH);
        }
        try (ChronicleBlockStore store = ChronicleBlockStore.open(small, Sync.CLOSE)) {
            assertThat(store.fileBytes()).isLessThanOrEqualTo(smallCapacity);
            assertThat(StoreInspection.verify(store).damaged()).isZero();
            ChronicleBlockStoreTest.assertEveryPrefixFollowsAnother(store);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"prefixes.dat", "blocks.dat", "dense.dat"})
    void aFileThatIsCutWhileItIsOpenEndsTheUseOfTheStoreAndNotTheProcess(String name)
            throws IOException, InterruptedException {
        StoreProfile profile = Profiles.of(2, 128, 4);
        try (ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE);
                Arena arena = Arena.ofConfined()) {
            Profiles.fill(store, Profiles.tokens(1, 700), arena);
        }
        Process process = StoreProcess.start("cut", folder.toString(), name);
        assertThat(StoreProcess.output(process).readLine()).isEqualTo("restored 0");
        assertThat(process.waitFor()).isZero();
        try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, Sync.CLOSE)) {
            assertThat(StoreInspection.verify(store).damaged()).isZero();
        }
    }

    @Test
    void aFileThatWasCutIsNotOpenedBesideAnotherProcess() throws IOException, InterruptedException {
        filled(folder, Profiles.of(1, 64, 0), 50);
        Process holder = StoreProcess.start("hold", folder.toString());
        assertThat(StoreProcess.output(holder).readLine()).isEqualTo("holding");
        try (RandomAccessFile cut =
                new RandomAccessFile(folder.resolve("blocks.dat").toFile(), "rw")) {
            cut.setLength(cut.length() / 2);
        }
        assertThatThrownBy(() -> ChronicleBlockStore.open(folder, Sync.CLOSE))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("blocks.dat was cut while another process has it open");
        holder.destroyForcibly().waitFor();
    }

    @Test
    void theRoomOfAStoreIsItsOwnOnADiskThatFills() throws IOException, InterruptedException {
        assumeTrue("root".equals(System.getProperty("user.name")), "only root mounts a small disk");
        Process mount =
                new ProcessBuilder("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder.toString()).start();
        assumeTrue(mount.waitFor() == 0, "a tmpfs cannot be mounted here");
        try (Arena arena = Arena.ofConfined()) {
            StoreProfile profile = Profiles.of(2, 128, 4);
            try (ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, 12 << 20, Sync.CLOSE)) {
                Path rest = folder.resolve("rest");
                Files.write(rest, new byte[(int) folder.toFile().getUsableSpace()]);
                assertThat(folder.toFile().getUsableSpace()).isZero();
                int sequences = (int) (3 * store.manifest().prefixSlots() / 20);
                for (int i = 0; i < sequences; i++) {
                    Profiles.fill(store, Profiles.tokens(i, 4 + 20 * 64 + 1), arena);
                }
                assertThat(store.counters().evictedPrefixes()).isPositive();
                assertThat(StoreInspection.verify(store).damaged()).isZero();
                Files.delete(rest);
            }
        } finally {
            new ProcessBuilder("umount", folder.toString()).start().waitFor();
        }
    }

    @Test
    void aStoreThatDoesNotFitTheDiskIsRefusedBeforeItIsMade() {
        assertThatThrownBy(() -> ChronicleBlockStore.create(folder, Profiles.of(1, 64, 0), 1L << 55, Sync.CLOSE))
                .hasMessageContaining("does not fit")
                .hasMessageContaining("are free");
        assertThat(folder.resolve("blocks.dat")).doesNotExist();
    }

    private static List<BlockKey> filled(Path folder, StoreProfile profile, int prefixes) throws IOException {
        List<BlockKey> keys = new ArrayList<>();
        try (ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE);
                Arena arena = Arena.ofConfined()) {
            for (int i = 0; i < prefixes; i++) {
                BlockKey key = StoreProcess.key(1000 + i, i % profile.layers(), i % VectorKind.values().length);
                var layout = profile.layout(key.site().layer(), key.site().kind());
                store.put(key, layout, Profiles.body(arena, key, layout));
                keys.add(key);
            }
        }
        return keys;
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
            flip(file, random.nextLong(reach), random.nextInt(8));
        }
        return "%s with %d flipped bits in its first %d bytes, round %d".formatted(name, flips, reach, round);
    }

    private static void flip(Path file, long offset, int bit) throws IOException {
        try (RandomAccessFile access = new RandomAccessFile(file.toFile(), "rw")) {
            access.seek(offset);
            int value = access.read();
            access.seek(offset);
            access.write(value ^ 1 << bit);
        }
    }

    private static long find(Path file, byte[] content) throws IOException {
        byte[] all = Files.readAllBytes(file);
        for (int i = 0; i + content.length <= all.length; i++) {
            if (Arrays.equals(all, i, i + content.length, content, 0, content.length)) {
                return i;
            }
        }
        throw new AssertionError("the block's bytes are not in " + file);
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.createDirectories(to);
        try (var files = Files.list(from)) {
            for (Path file : files.toList()) {
                Files.copy(file, to.resolve(file.getFileName()));
            }
        }
    }

    private static void delete(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(folder);
    }
}
