package io.sparrowkv.attention;

import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.MappedFile;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.StoreProfile;
import io.sparrowkv.store.chronicle.StoredSequence;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CodedSiteTest {
    private static final int BLOCKS = 3;

    @TempDir
    Path folder;

    @Test
    void attentionReadsRestoredBlocksWhereTheyLieInTheMappedFile() throws IOException {
        AttentionShape shape = AttentionShape.of(1, 2, 1, 16);
        CacheOptions options = CacheOptions.defaults().withWindow(0).withSinks(0);
        int[] tokens = IntStream.range(0, BLOCKS * CodeBlockLayout.TOKENS + 1).toArray();
        try (Arena arena = Arena.ofConfined();
                DictionarySet dictionaries = RandomDictionaries.set(1, 0, RopeStage.POST, 16, 64, 64, 1);
                ArrowBlockStore own = new ArrowBlockStore(1 << 20)) {
            StoreProfile profile = options.storeProfile(shape, "random", dictionaries);
            CodeBlockLayout layout = profile.layout(0, VectorKind.KEY);
            try (ChronicleBlockStore known = ChronicleBlockStore.create(folder, profile, 4 << 20, Sync.CLOSE)) {
                try (StoredSequence first = known.sequence(tokens)) {
                    for (int block = 0; block < BLOCKS; block++) {
                        for (VectorKind kind : VectorKind.values()) {
                            CodeBlockLayout of = profile.layout(0, kind);
                            first.keep(block, of, arena.allocate(of.byteSize(), CodeBlockLayout.ALIGNMENT));
                        }
                    }
                }
                try (StoredSequence again = known.sequence(tokens)) {
                    CodedSite site = new CodedSite(
                            layout,
                            shape.kvHeads(),
                            List.of(dictionaries.of(0, VectorKind.KEY, 0)),
                            own,
                            own.openSequence(),
                            arena.allocate(layout.byteSize(), CodeBlockLayout.ALIGNMENT),
                            Optional.empty());
                    site.restore(again);
                    assertThat(site.blocks()).isEqualTo(BLOCKS);
                    for (int block = 0; block < BLOCKS; block++) {
                        assertThat(MappedFile.of(site.body(block)))
                                .isEqualTo(folder.resolve("blocks.dat").toRealPath());
                    }
                    assertThat(own.keys()).isEmpty();
                }
            }
        }
    }
}
