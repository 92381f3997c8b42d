package io.sparrowkv.store.chronicle;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
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
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a store survives, fault by fault. {@link StoreSoakTest} meets it with many at random. */
class StoreFaultsTest {
    static final long CAPACITY = 24 << 20;

    @TempDir
    Path folder;

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
    void aDamagedPrefixIsDroppedAndCanBePutAgain() throws IOException {
        StoreProfile profile = Profiles.of(2, 128, 4);
        int[] tokens = Profiles.tokens(1, 4 + 5 * 64 + 1);
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE)) {
            Profiles.fill(store, tokens, arena);
        }
        byte[] third = MemorySegment.ofArray(Arrays.copyOfRange(tokens, 4 + 2 * 64, 4 + 3 * 64))
                .toArray(ValueLayout.JAVA_BYTE);
        Path file = folder.resolve("prefixes.dat");
        flip(file, find(file, third) + 9, 0);
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store = ChronicleBlockStore.open(folder, Sync.CLOSE)) {
            StoreInspection.Verification found = StoreInspection.verify(store);
            assertThat(found.damaged()).isEqualTo(1);
            assertThat(found.prefixes()).isEqualTo(5);
            assertThat(StoreInspection.verify(store))
                    .as("its blocks went with it")
                    .isEqualTo(new StoreInspection.Verification(4 * 2 * 2, found.dense(), 5, 0));
            try (StoredSequence shorter = store.sequence(tokens)) {
                assertThat(shorter.restoredBlocks()).isLessThanOrEqualTo(2);
            }
            Profiles.fill(store, tokens, arena);
            try (StoredSequence again = store.sequence(tokens)) {
                assertThat(again.restoredBlocks()).isEqualTo(5);
            }
        }
    }

    @Test
    void whoeverMeetsALockInsideAMapThatADeadProcessLeftGoesOnWithoutTheStore()
            throws IOException, InterruptedException {
        StoreProfile profile = Profiles.of(1, 64, 0);
        int[] tokens = Profiles.tokens(1, 5 * 64 + 1);
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, 4 << 20, Sync.CLOSE)) {
            Profiles.fill(store, tokens, arena);
        }
        Process survivor = StoreProcess.start("meet", folder.toString());
        BufferedReader met = StoreProcess.output(survivor);
        assertThat(met.readLine()).isEqualTo("open");
        Process dying = StoreProcess.start("stick", folder.toString());
        assertThat(StoreProcess.output(dying).readLine()).isEqualTo("inside");
        dying.destroyForcibly().waitFor();

        survivor.outputWriter().write("go on\n");
        survivor.outputWriter().flush();
        assertThat(met.readLine()).as("it reads on, and keeps nothing").isEqualTo("restored 5 and 0");
        assertThat(survivor.waitFor(30, TimeUnit.SECONDS)).isTrue();
        assertThat(survivor.exitValue()).isZero();
        int[] other = Profiles.tokens(2, 5 * 64 + 1);
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store = ChronicleBlockStore.open(folder, Sync.CLOSE);
                StoredSequence repaired = store.sequence(tokens)) {
            assertThat(repaired.restoredBlocks()).isEqualTo(5);
            Profiles.fill(store, other, arena);
            try (StoredSequence kept = store.sequence(other)) {
                assertThat(kept.restoredBlocks()).isEqualTo(5);
            }
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

    static List<BlockKey> filled(Path folder, StoreProfile profile, int prefixes) throws IOException {
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

    static void flip(Path file, long offset, int bit) throws IOException {
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
}
