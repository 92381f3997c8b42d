package io.sparrowkv.store.chronicle;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.CodeBlockSchema;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import io.sparrowkv.store.MappedFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ChronicleBlockStoreTest {
    private static final long CAPACITY = 16 << 20;

    @TempDir
    Path folder;

    @Test
    void blocksAreThereAfterReopening() throws IOException {
        StoreProfile profile = Profiles.of(3, 128, 4);
        List<BlockKey> keys = List.of(
                new BlockKey(7, Site.of(0, VectorKind.KEY)),
                new BlockKey(7, Site.of(0, VectorKind.VALUE)),
                new BlockKey(-9, Site.of(2, VectorKind.VALUE)));
        try (Arena arena = Arena.ofConfined()) {
            try (ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE)) {
                for (BlockKey key : keys) {
                    CodeBlockLayout layout =
                            profile.layout(key.site().layer(), key.site().kind());
                    store.put(key, layout, Profiles.body(arena, key, layout));
                }
            }
            try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, profile, Sync.CLOSE)) {
                assertThat(store.keys()).containsExactlyInAnyOrderElementsOf(keys);
                assertThat(store.statistics().blocks()).isEqualTo(3);
                for (BlockKey key : keys) {
                    try (BlockLease lease = store.get(key).orElseThrow()) {
                        assertThat(lease.body().mismatch(Profiles.body(arena, key, lease.layout())))
                                .isEqualTo(-1);
                    }
                }
                assertThat(store.contains(new BlockKey(-9, Site.of(2, VectorKind.KEY))))
                        .isFalse();
                assertThat(store.get(new BlockKey(8, Site.of(0, VectorKind.KEY))))
                        .isEmpty();
                assertThat(store.counters().hits()).isEqualTo(3);
                assertThat(store.counters().misses()).isEqualTo(1);
            }
        }
    }

    @Test
    void aRemovedBlockStaysWhileItIsRead() throws IOException {
        StoreProfile profile = Profiles.of(1, 0, 0);
        BlockKey key = new BlockKey(1, Site.of(0, VectorKind.KEY));
        CodeBlockLayout layout = profile.layout(0, VectorKind.KEY);
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE)) {
            MemorySegment body = Profiles.body(arena, key, layout);
            store.put(key, layout, body);
            BlockLease lease = store.get(key).orElseThrow();
            assertThat(store.remove(key)).isTrue();
            assertThat(store.get(key)).isEmpty();
            assertThat(store.evict(1)).isZero();
            assertThat(lease.body().mismatch(body)).isEqualTo(-1);
            lease.close();
            assertThat(store.statistics().bytes()).isZero();
        }
    }

    @Test
    void aBlockIsReadWhereItLiesInTheMappedFile() throws IOException {
        StoreProfile profile = Profiles.of(1, 0, 0);
        BlockKey key = new BlockKey(1, Site.of(0, VectorKind.VALUE));
        CodeBlockLayout layout = profile.layout(0, VectorKind.VALUE);
        try (Arena arena = Arena.ofConfined();
                RootAllocator allocator = new RootAllocator();
                ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE)) {
            store.put(key, layout, Profiles.body(arena, key, layout));
            try (BlockLease lease = store.get(key).orElseThrow();
                    VectorSchemaRoot vectors = CodeBlockSchema.wrap(lease.layout(), lease.body(), allocator)) {
                assertThat(MappedFile.of(lease.body()))
                        .isEqualTo(folder.resolve("blocks.dat").toRealPath());
                assertThat(MappedFile.of(arena.allocate(8))).isNotEqualTo(MappedFile.of(lease.body()));
                assertThat(vectors.getRowCount()).isEqualTo(layout.rows());
            }
        }
    }

    @Test
    void theLongestKnownPrefixIsFound() throws IOException {
        StoreProfile profile = Profiles.of(2, 128, 4);
        int[] tokens = Profiles.tokens(1, 4 + 10 * 64 + 5);
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.INTERVAL)) {
            Profiles.fill(store, tokens, arena);
            try (StoredSequence again = store.sequence(tokens)) {
                assertThat(again.restoredBlocks()).isEqualTo(10);
                assertThat(again.restoredTokens()).isEqualTo(644);
                MemorySegment body = again.block(6, Site.of(1, VectorKind.VALUE));
                MemorySegment put = Profiles.blockBody(arena, tokens, 6, 1, VectorKind.VALUE, profile);
                assertThat(body.mismatch(put)).isEqualTo(-1);
            }
            int[] other = tokens.clone();
            other[4 + 5 * 64 + 3]++;
            try (StoredSequence branch = store.sequence(other)) {
                assertThat(branch.restoredBlocks())
                        .as("of the blocks before the fork, 5, the nearest with a window: 8 before the end")
                        .isEqualTo(2);
                assertThat(branch.wantsDense(4)).as("the window at the fork").isTrue();
                assertThat(branch.wantsDense(2)).isFalse();
            }
            Profiles.fill(store, other, arena);
            int[] third = tokens.clone();
            third[4 + 5 * 64 + 7]++;
            try (StoredSequence branch = store.sequence(third)) {
                assertThat(branch.restoredBlocks())
                        .as("the second one left its window at the fork")
                        .isEqualTo(5);
            }
            try (StoredSequence exact = store.sequence(Arrays.copyOf(tokens, 644))) {
                assertThat(exact.restoredBlocks())
                        .as("a token is left to be read")
                        .isEqualTo(9);
            }
            try (StoredSequence part = store.sequence(tokens, 4 + 8 * 64)) {
                assertThat(part.restoredBlocks()).as("no more than asked").isEqualTo(8);
            }
        }
    }

    @Test
    void anotherProfileIsRefusedWithBothValues() throws IOException {
        ChronicleBlockStore.create(folder, Profiles.of(2, 128, 4), CAPACITY, Sync.CLOSE)
                .close();
        assertThatThrownBy(() -> ChronicleBlockStore.open(folder, Profiles.of(2, 64, 4), Sync.CLOSE))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("window is 128, this run's 64");
        Path manifest = folder.resolve(StoreManifest.NAME);
        Files.writeString(
                manifest, Files.readString(manifest).replace("\"format\" : " + StoreManifest.FORMAT, "\"format\" : 9"));
        assertThatThrownBy(() -> ChronicleBlockStore.open(folder, Sync.CLOSE))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("version is 9, this program's " + StoreManifest.FORMAT);
    }

    @Test
    void aStoreIsOpenOnceInAProcessAndMadeOnce() throws IOException {
        StoreProfile profile = Profiles.of(1, 64, 0);
        try (ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE)) {
            assertThat(store.fileBytes()).isLessThanOrEqualTo(CAPACITY);
            assertThatThrownBy(() -> ChronicleBlockStore.open(folder, Sync.CLOSE))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContaining("open in this process already");
        }
        assertThatThrownBy(() -> ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.CLOSE))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("holds a store already");
        assertThatThrownBy(() -> ChronicleBlockStore.create(folder.resolve("small"), profile, 1000, Sync.CLOSE))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("a store of 1000 bytes is too small for this model");
    }

    @Test
    void aFullStoreEvictsTheLeastRecentlyUsedFromTheEnd() throws IOException {
        StoreProfile profile = Profiles.of(2, 0, 0);
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, 1 << 20, Sync.CLOSE)) {
            long room = store.manifest().prefixSlots();
            int blocks = (int) Math.min(16, room / 4);
            int sequences = (int) (3 * room / blocks);
            for (int i = 0; i < sequences; i++) {
                Profiles.fill(store, Profiles.tokens(i, blocks * 64 + 1), arena);
            }
            assertThat(store.counters().evictedPrefixes()).isPositive();
            assertThat(store.counters().rejected()).isZero();
            assertThat(store.statistics().bytes()).isLessThan(1 << 20);
            try (StoredSequence newest = store.sequence(Profiles.tokens(sequences - 1, blocks * 64 + 1))) {
                assertThat(newest.restoredBlocks()).isEqualTo(blocks);
            }
            try (StoredSequence oldest = store.sequence(Profiles.tokens(0, blocks * 64 + 1))) {
                assertThat(oldest.restoredBlocks()).isZero();
            }
            assertEveryPrefixFollowsAnother(store);
        }
    }

    @Test
    void sequencesAreListedAndChecked() throws IOException {
        StoreProfile profile = Profiles.of(2, 128, 4);
        int[] tokens = Profiles.tokens(3, 4 + 5 * 64 + 1);
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store = ChronicleBlockStore.create(folder, profile, CAPACITY, Sync.ALWAYS)) {
            Profiles.fill(store, tokens, arena);
            List<StoreInspection.Sequence> sequences = StoreInspection.sequences(store);
            assertThat(sequences).hasSize(1);
            assertThat(sequences.getFirst().tokens()).isEqualTo(324);
            assertThat(sequences.getFirst().resumable()).isTrue();
            assertThat(sequences.getFirst().firstTokens())
                    .containsExactlyElementsOf(
                            Arrays.stream(tokens, 0, 68).boxed().toList());
            StoreInspection.Verification right = StoreInspection.verify(store);
            assertThat(right).isEqualTo(new StoreInspection.Verification(5 * 2 * 2, (1 + 5) * 2 * 2, 6, 0));
            MemorySegment slot =
                    store.parts().files().blocks.find(sequences.getFirst().prefix(), 1);
            slot.set(ValueLayout.JAVA_BYTE, 100, (byte) ~slot.get(ValueLayout.JAVA_BYTE, 100));
            assertThat(StoreInspection.verify(store).damaged()).isEqualTo(1);
            try (StoredSequence shorter = store.sequence(tokens)) {
                assertThat(shorter.restoredBlocks())
                        .as("up to the damaged block")
                        .isEqualTo(4);
            }
        }
    }

    static void assertEveryPrefixFollowsAnother(ChronicleBlockStore store) {
        List<Long> kept = new ArrayList<>();
        store.parts().files().prefixes.forEach((prefix, slot, record) -> kept.add(prefix));
        store.parts().files().prefixes.forEach((prefix, slot, record) -> {
            if (PrefixRecord.parent(record) != 0) {
                assertThat(kept).contains(PrefixRecord.parent(record));
            }
        });
    }
}
