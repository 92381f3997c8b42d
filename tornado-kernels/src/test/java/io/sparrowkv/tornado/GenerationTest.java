package io.sparrowkv.tornado;

import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.llm.generate.GenerationRequest;
import io.sparrowkv.llm.generate.Generator;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.SparseKvCache;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import io.sparrowkv.sae.DictionaryFiles;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Site;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import io.sparrowkv.store.BlockStore;
import io.sparrowkv.store.StoreStatistics;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The bundled model reads and writes with codes of the first device, and with those of the vector encoder. */
class GenerationTest {
    private static final String PROMPT = """
            It was a dark and stormy evening in the month of November, and the old captain sat alone by the fire in the
            great hall of the house, with his pipe and his dog, and thought of the sea. The wind cried in the chimney,
            and the rain beat upon the windows, and from time to time a door was heard to close in some distant part of
            the building. "There will be ships upon the rocks before the morning," he said to himself, and shook his
            head. He had not finished speaking when there came a knock at the door, and then another, and the dog rose
            and growled. The captain took the lamp from the table and went slowly down the passage, for he was no longer
            young, and drew back the bolt. Upon the step there stood a woman in a grey cloak, with a child in her arms,
            """;

    /** How far above the least coefficient of a code one may lie that the other encoder left out: rounding, and its echo in later layers. */
    private static final float NEAR_TIE = 1.02f;

    /** One generation, and every block that was stored on the way. */
    private record Result(String text, Map<Site, List<MemorySegment>> blocks, Map<Site, CodeBlockLayout> layouts) {}

    @BeforeAll
    static void requireDevices() {
        Devices.require();
    }

    @Test
    void theTextAndTheCodesAreThoseOfTheVectorEncoder() {
        Path folder = repository().resolve("models/gutenberg-7m");
        try (Arena arena = Arena.ofShared();
                CausalLm lm = CausalLm.load(folder);
                TextTokenizer tokenizer = TextTokenizer.load(folder, lm.config().vocabulary());
                DictionarySet dictionaries = DictionaryFiles.read(folder.resolve("dictionaries"))) {
            Result expected = generate(arena, lm, tokenizer, dictionaries, "vector");
            Result found = generate(arena, lm, tokenizer, dictionaries, "tornado");
            assertThat(found.text).isEqualTo(expected.text).isNotBlank();
            assertThat(found.blocks.keySet())
                    .isEqualTo(expected.blocks.keySet())
                    .hasSize(dictionaries.bySite().size());
            int codes = 0;
            int different = 0;
            for (Site site : expected.blocks.keySet()) {
                CodeBlockLayout layout = expected.layouts.get(site);
                List<MemorySegment> blocks = expected.blocks.get(site);
                assertThat(found.blocks.get(site)).hasSameSizeAs(blocks).isNotEmpty();
                for (int block = 0; block < blocks.size(); block++) {
                    for (int row = 0; row < layout.rows(); row++) {
                        codes++;
                        different += sameCode(
                                        layout,
                                        blocks.get(block),
                                        found.blocks.get(site).get(block),
                                        row)
                                ? 0
                                : 1;
                    }
                }
            }
            assertThat(codes).isGreaterThan(1000);
            assertThat((double) different / codes).as("codes with a near-tie").isLessThan(0.02);
        }
    }

    /** Whether two codes name the same atoms; where they do not, the odd ones must be near-ties. */
    private static boolean sameCode(CodeBlockLayout layout, MemorySegment one, MemorySegment other, int row) {
        boolean forth = contained(layout, one, other, row);
        return contained(layout, other, one, row) && forth;
    }

    private static boolean contained(CodeBlockLayout layout, MemorySegment one, MemorySegment other, int row) {
        int head = row / CodeBlockLayout.TOKENS;
        int token = row % CodeBlockLayout.TOKENS;
        List<Integer> atoms = new ArrayList<>();
        for (int pair = 0; pair < layout.budget(); pair++) {
            atoms.add(layout.index(other, head, token, pair));
        }
        boolean all = true;
        float least = layout.coefficient(one, head, token, layout.budget() - 1);
        for (int pair = 0; pair < layout.budget(); pair++) {
            if (!atoms.contains(layout.index(one, head, token, pair))) {
                all = false;
                assertThat(layout.coefficient(one, head, token, pair))
                        .as("%s, row %d, pair %d, which only one has", layout.site(), row, pair)
                        .isLessThanOrEqualTo(least * NEAR_TIE);
            }
        }
        return all;
    }

    private static Result generate(
            Arena arena, CausalLm lm, TextTokenizer tokenizer, DictionarySet dictionaries, String encoder) {
        CacheOptions options = CacheOptions.defaults().withWindow(32).withThreads(2);
        try (EncoderBackend encoders = Encoders.start(encoder, 2);
                RecordingStore store = new RecordingStore(arena);
                KvCache cache = new SparseKvCache(new SparseCache(
                        lm.config().attentionShape(), lm.rotary(), dictionaries, encoders, store, options))) {
            GenerationRequest request = GenerationRequest.greedy(tokenizer.encode(PROMPT), 48);
            StringBuilder text = new StringBuilder();
            new Generator(lm, tokenizer).generate(request, cache, text::append);
            assertThat(encoders.name()).startsWith(encoder);
            return new Result(text.toString(), store.blocks, store.layouts);
        }
    }

    private static Path repository() {
        Path folder = Path.of("").toAbsolutePath();
        while (!Files.isDirectory(folder.resolve("models/gutenberg-7m"))) {
            folder = folder.getParent();
        }
        return folder;
    }

    /** A store that keeps a copy of each block for the test. */
    private static final class RecordingStore implements BlockStore {
        final Map<Site, List<MemorySegment>> blocks = new HashMap<>();
        final Map<Site, CodeBlockLayout> layouts = new HashMap<>();
        private final BlockStore store = new ArrowBlockStore(Long.MAX_VALUE);
        private final Arena arena;

        RecordingStore(Arena arena) {
            this.arena = arena;
        }

        @Override
        public synchronized void put(BlockKey key, CodeBlockLayout layout, MemorySegment body) {
            MemorySegment copy = arena.allocate(layout.byteSize(), CodeBlockLayout.ALIGNMENT);
            MemorySegment.copy(body, 0, copy, 0, layout.byteSize());
            blocks.computeIfAbsent(layout.site(), site -> new ArrayList<>()).add(copy);
            layouts.put(layout.site(), layout);
            store.put(key, layout, body);
        }

        @Override
        public Optional<BlockLease> get(BlockKey key) {
            return store.get(key);
        }

        @Override
        public boolean contains(BlockKey key) {
            return store.contains(key);
        }

        @Override
        public boolean remove(BlockKey key) {
            return store.remove(key);
        }

        @Override
        public List<BlockKey> keys() {
            return store.keys();
        }

        @Override
        public StoreStatistics statistics() {
            return store.statistics();
        }

        @Override
        public long openSequence() {
            return store.openSequence();
        }

        @Override
        public void close() {
            store.close();
        }
    }
}
