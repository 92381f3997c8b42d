package io.sparrowkv.store.chronicle;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

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
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Stores of packed pairs. */
class PackedStoreTest {
    private static final long CAPACITY = 16 << 20;
    private static final BlockKey KEY = new BlockKey(77, Site.of(1, VectorKind.VALUE));

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(
            strings = {
                "sparse/1 14+4 pursuit:64",
                "sparse/1 16+6",
                "sparse/1 15+8 refit",
                "sparse/1 14+4+counted pursuit:64:0.2"
            })
    void packedBlocksAreKeptExportedAndImportedAsTheyAre(String codec) throws IOException {
        StoreProfile profile = profile(codec);
        Path file = folder.resolve("store.arrow");
        try (Arena arena = Arena.ofConfined()) {
            CodeBlockLayout layout = profile.layout(1, VectorKind.VALUE);
            MemorySegment body = arena.allocate(layout.byteSize(), 64);
            layout.fromPlain(Profiles.bytes(arena, 3, layout.plain().byteSize()), body);
            try (ChronicleBlockStore store =
                    ChronicleBlockStore.create(folder.resolve("store"), profile, CAPACITY, Sync.CLOSE)) {
                store.put(KEY, layout, body);
            }
            try (ChronicleBlockStore store = ChronicleBlockStore.open(folder.resolve("store"), profile, Sync.CLOSE)) {
                assertHolds(store, body);
                StoreExport.write(store, file, StoreExport.Form.FILE, StoreExport.Compression.ZSTD);
            }
            try (ChronicleBlockStore copy =
                    ChronicleBlockStore.create(folder.resolve("copy"), profile, CAPACITY, Sync.CLOSE)) {
                assertThat(StoreImport.read(copy, file).blocks()).isEqualTo(1);
                assertHolds(copy, body);
            }
        }
    }

    @Test
    void residualsMayDifferBySite() throws IOException {
        List<Integer> budgets = List.of(3, 11);
        StoreProfile profile = new StoreProfile(
                "sparse/1 12+4 pursuit:64",
                "model-a",
                "dictionaries-a",
                1 << 12,
                2,
                2,
                16,
                64,
                4,
                budgets,
                budgets,
                budgets,
                budgets,
                List.of(0, 2),
                List.of(1, 3));
        CodeBlockLayout layout = profile.layout(1, VectorKind.VALUE);
        assertThat(layout.pairs().residualBits()).isEqualTo(3);
        assertThat(profile.layout(0, VectorKind.KEY).keepsResidual()).isFalse();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment body = Profiles.bytes(arena, 3, layout.byteSize());
            try (ChronicleBlockStore store =
                    ChronicleBlockStore.create(folder.resolve("store"), profile, CAPACITY, Sync.CLOSE)) {
                store.put(KEY, layout, body);
            }
            try (ChronicleBlockStore store = ChronicleBlockStore.open(folder.resolve("store"), profile, Sync.CLOSE)) {
                assertHolds(store, body);
                assertThatThrownBy(() -> StoreExport.write(
                                store, folder.resolve("x"), StoreExport.Form.FILE, StoreExport.Compression.NONE))
                        .isInstanceOf(InvalidInputException.class)
                        .hasMessageContaining("keeps residuals");
            }
        }
    }

    @Test
    void aDamagedCodecInTheManifestIsNamed() throws IOException {
        Path store = folder.resolve("store");
        ChronicleBlockStore.create(store, profile("sparse/1 12+4"), CAPACITY, Sync.CLOSE)
                .close();
        Path manifest = store.resolve(StoreManifest.NAME);
        Files.writeString(manifest, Files.readString(manifest).replace("12+4", "12+5"));
        assertThatThrownBy(() -> StoreManifest.read(store))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("manifest.json", "12+5");
    }

    private static void assertHolds(ChronicleBlockStore store, MemorySegment body) {
        try (BlockLease lease = store.get(KEY).orElseThrow()) {
            assertThat(lease.body().mismatch(body)).isEqualTo(-1);
        }
    }

    private static StoreProfile profile(String codec) {
        List<Integer> budgets = List.of(3, 11);
        return new StoreProfile(
                codec, "model-a", "dictionaries-a", 1 << 14, 2, 2, 16, 64, 4, budgets, budgets, budgets, budgets);
    }
}
