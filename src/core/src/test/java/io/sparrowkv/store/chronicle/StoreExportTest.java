package io.sparrowkv.store.chronicle;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import io.sparrowkv.store.chronicle.StoreExport.Compression;
import io.sparrowkv.store.chronicle.StoreExport.Form;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.arrow.compression.CommonsCompressionFactory;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.UInt2Vector;
import org.apache.arrow.vector.UInt8Vector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.ListVector;
import org.apache.arrow.vector.ipc.ArrowFileReader;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class StoreExportTest {
    private static final long CAPACITY = 16 << 20;
    private static final StoreProfile PROFILE = Profiles.of(3, 128, 4);
    private static final BlockKey ANONYMOUS = new BlockKey(77, Site.of(2, VectorKind.VALUE));

    @TempDir
    Path folder;

    @Test
    void theContractIsTheSchemaOfTheExportItDescribes() {
        StoreProfile described = new StoreProfile(
                CodeBlockLayout.CODEC,
                "5d41402abc4b2a76b9719d911017c592",
                "7d793037a0760186574b0282f2f435e7",
                4096,
                2,
                2,
                128,
                128,
                4,
                List.of(8, 8),
                List.of(16, 16),
                List.of(8, 8),
                List.of(16, 16));
        assertThat(ExportSchema.of(described)).isEqualTo(ExportSchema.contract());
        assertThat(ExportSchema.profile(folder, ExportSchema.contract())).isEqualTo(described);
    }

    @ParameterizedTest
    @CsvSource({"FILE, NONE", "FILE, LZ4", "FILE, ZSTD", "STREAM, NONE", "STREAM, LZ4", "STREAM, ZSTD"})
    void aStoreComesBackAsItWas(Form form, Compression compression) throws IOException {
        Path file = folder.resolve("store.arrow");
        int[] tokens = Profiles.tokens(1, 4 + 10 * 64 + 5);
        StoreExport.Result written = export(file, form, compression, tokens);
        assertThat(written.bytes()).isEqualTo(Files.size(file));
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore copy =
                        ChronicleBlockStore.create(folder.resolve("copy"), PROFILE, 2 * CAPACITY, Sync.CLOSE)) {
            StoreImport.Result read = StoreImport.read(copy, file);
            assertThat(read)
                    .isEqualTo(new StoreImport.Result(written.prefixes(), written.blocks(), written.dense(), 0));
            StoreInspection.Verification right = StoreInspection.verify(copy);
            assertThat(right)
                    .isEqualTo(
                            new StoreInspection.Verification(written.blocks(), written.dense(), written.prefixes(), 0));
            try (StoredSequence again = copy.sequence(tokens)) {
                assertThat(again.restoredBlocks()).isEqualTo(10);
                MemorySegment body = again.block(6, Site.of(1, VectorKind.VALUE));
                assertThat(body.mismatch(Profiles.blockBody(arena, tokens, 6, 1, VectorKind.VALUE, PROFILE)))
                        .isEqualTo(-1);
            }
            try (BlockLease lease = copy.get(ANONYMOUS).orElseThrow()) {
                assertThat(lease.body().mismatch(Profiles.body(arena, ANONYMOUS, lease.layout())))
                        .isEqualTo(-1);
            }
            assertThat(StoreImport.read(copy, file))
                    .as("again, when all is known")
                    .isEqualTo(read);
        }
    }

    @Test
    void anyArrowReaderSeesTheCodesByTheirColumns() throws IOException {
        Path file = folder.resolve("store.arrow");
        int[] tokens = Profiles.tokens(1, 4 + 64 + 5);
        export(file, Form.FILE, Compression.ZSTD, tokens);
        CodeBlockLayout layout = PROFILE.layout(1, VectorKind.KEY);
        try (Arena arena = Arena.ofConfined();
                RootAllocator allocator = new RootAllocator();
                FileChannel channel = FileChannel.open(file);
                ArrowFileReader reader = new ArrowFileReader(channel, allocator, CommonsCompressionFactory.INSTANCE)) {
            VectorSchemaRoot root = reader.getVectorSchemaRoot();
            assertThat(root.getSchema()).isEqualTo(ExportSchema.of(PROFILE));
            MemorySegment body = Profiles.blockBody(arena, tokens, 0, 1, VectorKind.KEY, PROFILE);
            int found = 0;
            while (reader.loadNextBatch()) {
                UInt8Vector parent = (UInt8Vector) root.getVector("parent");
                ListVector indices = (ListVector) root.getVector("key_index");
                ListVector ids = (ListVector) root.getVector("tokens");
                for (int row = 0; row < root.getRowCount(); row++) {
                    List<Integer> own = Arrays.stream(tokens, 4, 68).boxed().toList();
                    if ((int) root.getVector("layer").getObject(row) != 1 || !own.equals(ids.getObject(row))) {
                        continue;
                    }
                    found++;
                    assertThat(parent.get(row)).isNotZero();
                    int first = indices.getElementStartIndex(row);
                    UInt2Vector items = (UInt2Vector) indices.getDataVector();
                    for (int i = 0; i < layout.rows() * layout.budget(); i++) {
                        int vector = i / layout.budget();
                        assertThat((int) items.get(first + i))
                                .isEqualTo(layout.index(body, vector / 64, vector % 64, i % layout.budget()));
                    }
                }
            }
            assertThat(found).isEqualTo(1);
        }
    }

    @Test
    void aStoreOfOtherCodesRefusesTheFileWithBothValues() throws IOException {
        Path file = folder.resolve("store.arrow");
        export(file, Form.STREAM, Compression.NONE, Profiles.tokens(1, 100));
        try (ChronicleBlockStore other =
                ChronicleBlockStore.create(folder.resolve("other"), Profiles.of(3, 64, 4), CAPACITY, Sync.CLOSE)) {
            assertThatThrownBy(() -> StoreImport.read(other, file))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContaining("window is 64, the file's 128");
        }
    }

    @Test
    void aSmallerStoreKeepsBeginningsAndSaysWhatItLeftOut() throws IOException {
        Path file = folder.resolve("store.arrow");
        StoreProfile profile = Profiles.of(2, 0, 0);
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store =
                        ChronicleBlockStore.create(folder.resolve("large"), profile, 8 << 20, Sync.CLOSE)) {
            for (int i = 0; i < 30; i++) {
                Profiles.fill(store, Profiles.tokens(i, 20 * 64 + 1), arena);
            }
            StoreExport.write(store, file, Form.FILE, Compression.NONE);
        }
        try (ChronicleBlockStore small =
                ChronicleBlockStore.create(folder.resolve("small"), profile, 1 << 20, Sync.CLOSE)) {
            StoreImport.Result read = StoreImport.read(small, file);
            assertThat(small.counters().evictedPrefixes() + read.leftOut()).isPositive();
            assertThat(small.fileBytes()).isLessThanOrEqualTo(1 << 20);
            ChronicleBlockStoreTest.assertEveryPrefixFollowsAnother(small);
            assertThat(StoreInspection.verify(small).damaged()).isZero();
        }
    }

    @ParameterizedTest
    @CsvSource({"FILE, NONE", "FILE, ZSTD", "STREAM, LZ4"})
    void damagedFilesAreRefusedOrGiveNothingWrong(Form form, Compression compression) throws IOException {
        Path file = folder.resolve("store.arrow");
        export(file, form, compression, Profiles.tokens(1, 4 + 3 * 64 + 5));
        byte[] content = Files.readAllBytes(file);
        SplittableRandom random = new SplittableRandom(3);
        int refused = 0;
        for (int round = 0; round < 20; round++) {
            byte[] damaged = round % 2 == 0 ? Arrays.copyOf(content, random.nextInt(content.length)) : content.clone();
            if (round % 2 == 1) {
                damaged[random.nextInt(round % 4 == 1 ? 2000 : damaged.length)] ^= (byte) (1 << random.nextInt(8));
            }
            Files.write(file, damaged);
            Path into = folder.resolve("into" + round);
            try (ChronicleBlockStore store = ChronicleBlockStore.create(into, PROFILE, 4 << 20, Sync.CLOSE)) {
                try {
                    StoreImport.read(store, file);
                } catch (InvalidInputException e) {
                    refused++;
                    assertThat(e.getMessage()).contains(file.toString());
                }
                assertThat(StoreInspection.verify(store).damaged()).isZero();
            }
        }
        assertThat(refused).isGreaterThanOrEqualTo(10);
    }

    private StoreExport.Result export(Path file, Form form, Compression compression, int[] tokens) throws IOException {
        try (Arena arena = Arena.ofConfined();
                ChronicleBlockStore store =
                        ChronicleBlockStore.create(folder.resolve("store"), PROFILE, CAPACITY, Sync.CLOSE)) {
            Profiles.fill(store, tokens, arena);
            int[] fork = tokens.clone();
            fork[tokens.length / 2]++;
            Profiles.fill(store, fork, arena);
            CodeBlockLayout layout = PROFILE.layout(2, VectorKind.VALUE);
            store.put(ANONYMOUS, layout, Profiles.body(arena, ANONYMOUS, layout));
            return StoreExport.write(store, file, form, compression);
        }
    }
}
