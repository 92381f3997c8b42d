package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.CodeReader;
import io.sparrowkv.attention.CodeReaderCheck;
import io.sparrowkv.attention.CodedLayer;
import io.sparrowkv.attention.CodedSums;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Function;

/** A small layer of awkward shape, read on the real device and held against the definition. */
final class ReaderSelfTest {
    private static final int TOKENS = 100;
    private static final int WIDTH = 20;
    private static final int KEY_LATENTS = 70;
    private static final int VALUE_LATENTS = 90;

    private ReaderSelfTest() {}

    /** What is wrong with what a reader of that device computes, in one line; empty when it is right. */
    static Optional<String> run(Function<CodedLayer, CodeReader> open) {
        AttentionShape shape = AttentionShape.of(1, 4, 2, WIDTH);
        Site keySite = Site.of(0, VectorKind.KEY);
        Site valueSite = Site.of(0, VectorKind.VALUE);
        try (Arena arena = Arena.ofShared();
                Dictionary keys = RandomDictionaries.dictionary(keySite, RopeStage.POST, WIDTH, KEY_LATENTS, 1);
                Dictionary values = RandomDictionaries.dictionary(valueSite, RopeStage.PRE, WIDTH, VALUE_LATENTS, 2);
                CodedSums sums = CodedSums.allocate(shape.heads(), WIDTH)) {
            CodedLayer layer = new CodedLayer(
                    shape,
                    List.of(keys),
                    List.of(values),
                    new CodeBlockLayout(keySite, shape.kvHeads(), WIDTH, 7),
                    new CodeBlockLayout(valueSite, shape.kvHeads(), WIDTH, 9),
                    TOKENS);
            List<MemorySegment> keyBlocks = blocks(arena, layer.keyLayout(), KEY_LATENTS, layer.blocks(), 3);
            List<MemorySegment> valueBlocks = blocks(arena, layer.valueLayout(), VALUE_LATENTS, layer.blocks(), 4);
            CodeReaderCheck check = new CodeReaderCheck(layer, keyBlocks, valueBlocks);
            MemorySegment queries = RandomDictionaries.vectors(arena, shape.heads(), WIDTH, 5);
            MemorySegment output = arena.allocate(queries.byteSize(), 64);
            MemorySegment vectors = arena.allocate((long) layer.keyLayout().rows() * WIDTH * Float.BYTES, 64);
            try (CodeReader reader = open.apply(layer)) {
                for (int block = 0; block < layer.blocks(); block++) {
                    reader.put(block, keyBlocks.get(block), valueBlocks.get(block));
                }
                for (VectorKind kind : VectorKind.values()) {
                    reader.decode(kind, 1, 5, vectors);
                    double off = CodeReaderCheck.difference(check.decode(kind, 1, 5), vectors);
                    if (off > CodeReaderCheck.TOLERANCE) {
                        return Optional.of("vectors of a %s's codes are off by %.1e".formatted(kind.label(), off));
                    }
                }
                reader.attend(queries, 3, TOKENS - 5, 6, 9, sums);
                sums.writeOutput(output);
                double off = CodeReaderCheck.difference(check.attend(queries, 3, TOKENS - 5, 6, 9), output);
                return off > CodeReaderCheck.TOLERANCE
                        ? Optional.of("attention to codes is off by %.1e".formatted(off))
                        : Optional.empty();
            }
        }
    }

    /** Blocks of random codes, of all lengths up to the budget. */
    static List<MemorySegment> blocks(Arena arena, CodeBlockLayout layout, int latents, int blocks, long seed) {
        Random random = new Random(seed);
        List<MemorySegment> bodies = new ArrayList<>();
        try (CodeBatch codes = CodeBatch.allocate(layout.rows(), layout.budget())) {
            for (int block = 0; block < blocks; block++) {
                codes.shape(layout.rows(), layout.budget());
                for (int row = 0; row < layout.rows(); row++) {
                    int count = random.nextInt(layout.budget() + 1);
                    int first = random.nextInt(latents);
                    for (int pair = 0; pair < layout.budget(); pair++) {
                        long at = (long) row * layout.budget() + pair;
                        // Consecutive atoms are different ones.
                        codes.indices().setAtIndex(JAVA_INT, at, pair < count ? (first + pair) % latents : 0);
                        float coefficient = pair < count ? 1f / (1 + pair) + random.nextFloat() : 0f;
                        codes.coefficients().setAtIndex(JAVA_FLOAT, at, coefficient);
                    }
                }
                MemorySegment body = arena.allocate(layout.byteSize(), CodeBlockLayout.ALIGNMENT);
                for (int head = 0; head < layout.kvHeads(); head++) {
                    layout.pack(codes, head, layout.kvHeads(), head, 0, CodeBlockLayout.TOKENS, body);
                }
                bodies.add(body);
            }
        }
        return bodies;
    }
}
