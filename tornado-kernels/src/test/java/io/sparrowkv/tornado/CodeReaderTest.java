package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.Budgets;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.CodeReader;
import io.sparrowkv.attention.CodeReaderCheck;
import io.sparrowkv.attention.CodeReaders;
import io.sparrowkv.attention.CodedLayer;
import io.sparrowkv.attention.CodedSums;
import io.sparrowkv.attention.RotaryEmbedding;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.ArrowBlockStore;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Reading codes on each device, against the definition and against attention on the CPU. */
class CodeReaderTest {
    private static final int TOKENS = CodeBlockLayout.TOKENS;

    @BeforeAll
    static void requireDevices() {
        Devices.require();
    }

    @Test
    void everyDevicePassesItsSelfTest() {
        for (Device device : Device.all()) {
            assertThat(ReaderSelfTest.run(layer -> new TornadoCodeReader(device, layer)))
                    .as(device.encoder())
                    .isEmpty();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, 2, 1, 1, 1, 1, 1, 0, false",
        "6, 2, 24, 100, 64, 5, 9, 130, 3, true",
        "14, 2, 64, 4096, 4096, 8, 16, 1000, 700, false",
        "4, 4, 16, 32768, 65536, 64, 64, 65, 64, true",
        "4, 1, 256, 2048, 2049, 16, 8, 200, 7, false",
    })
    void resultsAreTheDefinitions(
            int heads,
            int kvHeads,
            int dHead,
            int keyLatents,
            int valueLatents,
            int keyBudget,
            int valueBudget,
            int tokens,
            int first,
            boolean ownHeads) {
        AttentionShape shape = AttentionShape.of(1, heads, kvHeads, dHead);
        try (Arena arena = Arena.ofShared();
                DictionarySet set = RandomDictionaries.set(
                        1, ownHeads ? kvHeads : 0, RopeStage.POST, dHead, keyLatents, valueLatents, 1)) {
            CodedLayer layer = layer(set, shape, keyBudget, valueBudget, tokens);
            List<MemorySegment> keys = ReaderSelfTest.blocks(arena, layer.keyLayout(), keyLatents, layer.blocks(), 3);
            List<MemorySegment> values =
                    ReaderSelfTest.blocks(arena, layer.valueLayout(), valueLatents, layer.blocks(), 4);
            CodeReaderCheck check = new CodeReaderCheck(layer, keys, values);
            MemorySegment queries = RandomDictionaries.vectors(arena, heads, dHead, 5);
            for (Device device : Device.all()) {
                try (CodeReader reader = new TornadoCodeReader(device, layer)) {
                    for (int block = layer.blocks() - 1; block >= 0; block--) {
                        reader.put(block, keys.get(block), values.get(block));
                    }
                    int last = layer.blocks() - 1;
                    assertThat(decoded(reader, check, VectorKind.KEY, last, keyBudget))
                            .isLessThan(CodeReaderCheck.TOLERANCE);
                    assertThat(decoded(reader, check, VectorKind.VALUE, 0, (valueBudget + 1) / 2))
                            .isLessThan(CodeReaderCheck.TOLERANCE);
                    // Longer, then shorter, then longer again: nothing is left over from the call before.
                    for (int end : new int[] {tokens, first + 1, tokens}) {
                        assertThat(attended(reader, check, queries, first, end, keyBudget, (valueBudget + 1) / 2))
                                .isLessThan(CodeReaderCheck.TOLERANCE);
                    }
                }
            }
        }
    }

    @Test
    void aBlockThatIsPutAnewReplacesTheOldOneAndNoOther() {
        AttentionShape shape = AttentionShape.of(1, 4, 2, 16);
        try (Arena arena = Arena.ofShared();
                DictionarySet set = RandomDictionaries.set(1, 0, RopeStage.POST, 16, 50, 60, 1);
                CodeReader reader = CodeReaders.open(Devices.first().encoder(), layer(set, shape, 4, 6, 3 * TOKENS))) {
            CodedLayer layer = reader.layer();
            List<MemorySegment> keys = ReaderSelfTest.blocks(arena, layer.keyLayout(), 50, 4, 3);
            List<MemorySegment> values = ReaderSelfTest.blocks(arena, layer.valueLayout(), 60, 4, 4);
            for (int block = 0; block < 3; block++) {
                reader.put(block, keys.get(block), values.get(block));
            }
            reader.put(1, keys.get(3), values.get(3));
            CodeReaderCheck check = new CodeReaderCheck(
                    layer,
                    List.of(keys.get(0), keys.get(3), keys.get(2)),
                    List.of(values.get(0), values.get(3), values.get(2)));
            MemorySegment queries = RandomDictionaries.vectors(arena, 4, 16, 5);
            assertThat(attended(reader, check, queries, 0, 3 * TOKENS, 4, 6)).isLessThan(CodeReaderCheck.TOLERANCE);
        }
    }

    @Test
    void noTokensWeighNothing() {
        AttentionShape shape = AttentionShape.of(1, 4, 2, 16);
        try (Arena arena = Arena.ofShared();
                DictionarySet set = RandomDictionaries.set(1, 0, RopeStage.POST, 16, 50, 60, 1);
                CodeReader reader = new TornadoCodeReader(Devices.first(), layer(set, shape, 4, 6, 3 * TOKENS));
                CodedSums sums = CodedSums.allocate(4, 16)) {
            sums.weights().fill((byte) 1);
            reader.attend(RandomDictionaries.vectors(arena, 4, 16, 5), 7, 7, 4, 6, sums);
            for (int head = 0; head < 4; head++) {
                assertThat(sums.weights().getAtIndex(JAVA_FLOAT, head)).isZero();
                assertThat(sums.sums().getAtIndex(JAVA_FLOAT, head * 16)).isZero();
            }
        }
    }

    /** One device writes the codes and reads them, beside a cache that does both on the CPU. */
    @Test
    void codesOfTheSameDeviceAreReadAsTheCacheReadsThem() {
        AttentionShape shape = AttentionShape.of(1, 4, 2, 32);
        int tokens = 150;
        CacheOptions options =
                CacheOptions.defaults().withWindow(0).withSinks(0).withThreads(1);
        Device device = Devices.first();
        try (Arena arena = Arena.ofShared();
                DictionarySet set = RandomDictionaries.set(1, 0, RopeStage.POST, 32, 200, 300, 1);
                TornadoBackend backend = Devices.start(KernelFamily.of(device).getFirst());
                ArrowBlockStore store = new ArrowBlockStore(1 << 24);
                SparseCache cache =
                        new SparseCache(shape, RotaryEmbedding.plain(32, 10_000), set, backend, store, options);
                CodeReader reader = new TornadoCodeReader(device, layer(set, shape, 8, 16, tokens));
                CodedSums sums = CodedSums.allocate(4, 32)) {
            MemorySegment queries = RandomDictionaries.vectors(arena, tokens * 4, 32, 5);
            MemorySegment keys = RandomDictionaries.vectors(arena, tokens * 2, 32, 6);
            MemorySegment values = RandomDictionaries.vectors(arena, tokens * 2, 32, 7);
            MemorySegment expected = arena.allocate(queries.byteSize(), 64);
            cache.attend(0, queries, keys, values, tokens, expected);
            List<MemorySegment> keyBlocks = encode(arena, backend, reader.layer(), VectorKind.KEY, keys, tokens);
            List<MemorySegment> valueBlocks = encode(arena, backend, reader.layer(), VectorKind.VALUE, values, tokens);
            for (int block = 0; block < keyBlocks.size(); block++) {
                reader.put(block, keyBlocks.get(block), valueBlocks.get(block));
            }
            MemorySegment output = arena.allocate(4 * 32 * Float.BYTES, 64);
            for (int token : new int[] {0, 63, 64, 149}) {
                long at = token * output.byteSize();
                reader.attend(queries.asSlice(at, output.byteSize()), 0, token + 1, 8, 16, sums);
                sums.writeOutput(output);
                double[] cached = new double[4 * 32];
                for (int i = 0; i < cached.length; i++) {
                    cached[i] = expected.get(JAVA_FLOAT, at + (long) i * Float.BYTES);
                }
                assertThat(CodeReaderCheck.difference(cached, output)).isLessThan(CodeReaderCheck.TOLERANCE);
            }
        }
    }

    @Test
    void whatDoesNotFitIsRefused() {
        AttentionShape shape = AttentionShape.of(1, 4, 2, 16);
        try (DictionarySet before = RandomDictionaries.set(1, 0, RopeStage.PRE, 16, 50, 60, 1);
                DictionarySet set = RandomDictionaries.set(1, 0, RopeStage.POST, 16, 50, 60, 1);
                CodeReader reader = new TornadoCodeReader(Devices.first(), layer(set, shape, 4, 6, TOKENS));
                CodedSums sums = CodedSums.allocate(4, 16)) {
            assertThatThrownBy(() -> layer(before, shape, 4, 6, TOKENS))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("before RoPE");
            assertThatThrownBy(() -> layer(set, shape, 51, 6, TOKENS)).isInstanceOf(IllegalArgumentException.class);
            MemorySegment none = MemorySegment.NULL;
            assertThatThrownBy(() -> reader.put(1, none, none))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("block 1 of 1");
            assertThatThrownBy(() -> reader.attend(none, 0, TOKENS + 1, 4, 6, sums))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> reader.attend(none, 0, TOKENS, 5, 6, sums))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("5 pairs of codes of 4");
            assertThatThrownBy(() -> CodeReaders.open("abacus", reader.layer()))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessage("abacus cannot read codes; choose tornado");
            assertThatThrownBy(() -> CodeReaders.open("tornado:opencl:99", reader.layer()))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContaining("no such device");
        }
    }

    private static CodedLayer layer(
            DictionarySet set, AttentionShape shape, int keyBudget, int valueBudget, int tokens) {
        return CodedLayer.of(shape, set, 0, Budgets.of(keyBudget, valueBudget), tokens);
    }

    private static List<MemorySegment> encode(
            Arena arena, TornadoBackend backend, CodedLayer layer, VectorKind kind, MemorySegment vectors, int tokens) {
        boolean ofKeys = kind == VectorKind.KEY;
        CodeBlockLayout layout = ofKeys ? layer.keyLayout() : layer.valueLayout();
        Dictionary dictionary = (ofKeys ? layer.keys() : layer.values()).getFirst();
        int kvHeads = layout.kvHeads();
        List<MemorySegment> bodies = new ArrayList<>();
        try (TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(tokens * kvHeads, layout.budget())) {
            encoder.encode(vectors, tokens * kvHeads, layout.budget(), codes);
            for (int from = 0; from < tokens; from += TOKENS) {
                MemorySegment body = arena.allocate(layout.byteSize(), CodeBlockLayout.ALIGNMENT);
                int count = Math.min(TOKENS, tokens - from);
                for (int head = 0; head < kvHeads; head++) {
                    layout.pack(codes, from * kvHeads + head, kvHeads, head, 0, count, body);
                }
                bodies.add(body);
            }
        }
        return bodies;
    }

    private static double decoded(CodeReader reader, CodeReaderCheck check, VectorKind kind, int block, int read) {
        try (Arena arena = Arena.ofShared()) {
            CodeBlockLayout layout = reader.layer().keyLayout();
            MemorySegment vectors = arena.allocate((long) layout.rows() * layout.dHead() * Float.BYTES, 64);
            reader.decode(kind, block, read, vectors);
            return CodeReaderCheck.difference(check.decode(kind, block, read), vectors);
        }
    }

    private static double attended(
            CodeReader reader,
            CodeReaderCheck check,
            MemorySegment queries,
            int first,
            int end,
            int readKey,
            int readValue) {
        AttentionShape shape = reader.layer().shape();
        try (Arena arena = Arena.ofShared();
                CodedSums sums = CodedSums.allocate(shape.heads(), shape.dHead())) {
            MemorySegment output = arena.allocate(queries.byteSize(), 64);
            reader.attend(queries, first, end, readKey, readValue, sums);
            sums.writeOutput(output);
            return CodeReaderCheck.difference(check.attend(queries, first, end, readKey, readValue), output);
        }
    }
}
