package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.VarBinaryVector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CountedBlockTest {
    private static final Site SITE = Site.of(3, VectorKind.VALUE);
    private static final int TOKENS = CodeBlockLayout.TOKENS;

    @ParameterizedTest(name = "K {0}, M {1}, d {2}, {3} bits, {4} residual bits, {5} heads")
    @CsvSource({
        "1, 2, 16, 4, 0, 1",
        "1, 4096, 16, 4, 2, 3",
        "16, 4096, 128, 4, 0, 2",
        "24, 4096, 128, 6, 1, 2",
        "31, 257, 24, 4, 0, 3",
        "32, 300, 80, 6, 4, 1",
        "33, 8193, 256, 6, 0, 2",
        "255, 32768, 256, 8, 0, 2",
        "256, 65536, 128, 4, 1, 2",
        "5, 65536, 127, 8, 0, 5"
    })
    void everyCodeComesBackAndTakesNoMoreThanItsPairs(
            int budget, int latents, int dHead, String bits, int residualBits, int heads) {
        Coefficients form = Coefficients.parse(bits);
        CodeBlockLayout layout = layout(heads, dHead, budget, form, residualBits, latents);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = ofAllLengths(TOKENS * heads, budget, latents)) {
            MemorySegment body = block(arena, layout);
            for (int head = 0; head < heads; head++) {
                layout.pack(codes, head, heads, head, 0, TOKENS, body);
            }
            assertHolds(layout, body, codes);
            layout.close(body);
            assertHolds(layout, body, codes);

            int countBits = 32 - Integer.numberOfLeadingZeros(budget);
            long bytes = ((heads + 1) * 4 + 7) / 8 * 8 + heads * 8L * countBits;
            long pairs = 0;
            for (int row = 0; row < TOKENS * heads; row++) {
                int count = layout.pairs(body, row % heads, row / heads);
                assertThat(count).isLessThanOrEqualTo(codes.count(row));
                pairs += count;
                bytes += (count * (layout.pairs().indexBits() + form.bits()) + 7) / 8 + 2;
                bytes += residualBits == 0 ? 0 : 2 + dHead * residualBits / 8;
            }
            assertThat(layout.pairs(body)).isEqualTo(pairs);
            assertThat(layout.byteSize(body)).isEqualTo((bytes + 7) / 8 * 8).isLessThan(layout.byteSize());
            for (long at = bytes; at < layout.byteSize(); at++) {
                assertThat(body.get(JAVA_BYTE, at)).isZero();
            }
            MemorySegment closed = block(arena, layout).copyFrom(body);
            layout.close(body);
            assertThat(body.mismatch(closed))
                    .as("closing it again changes nothing")
                    .isEqualTo(-1);
            assertHolds(
                    layout,
                    arena.allocate(layout.byteSize(body), 64).copyFrom(body.asSlice(0, layout.byteSize(body))),
                    codes);
        }
    }

    @Test
    void aBlockOfFullRowsTakesAllItsRoomAndOneOfEmptyRowsNextToNone() {
        CodeBlockLayout layout = layout(2, 24, 12, Coefficients.BITS_4, 0, 4096);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = CodeBatch.allocate(TOKENS * 2, 12)) {
            codes.shape(TOKENS * 2, 12);
            assertThat(layout.byteSize(packed(arena, layout, codes))).isEqualTo(16 + 2 * (64 * 4 / 8 + 64 * 2));
            for (int i = 0; i < TOKENS * 2 * 12; i++) {
                codes.coefficients().setAtIndex(JAVA_FLOAT, i, 3f);
            }
            assertThat(layout.byteSize(packed(arena, layout, codes)))
                    .isEqualTo(layout.byteSize())
                    .isEqualTo(16 + 2 * (64 * 4 / 8 + 64 * (12 * 2 + 2)));
        }
    }

    @Test
    void tokenByTokenItBecomesTheSameBlockAgainAndAgain() {
        CodeBlockLayout layout = layout(3, 24, 9, Coefficients.BITS_6, 0, 700);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = ofAllLengths(TOKENS * 3, 9, 700);
                CodeBatch others = CodeBatch.allocate(TOKENS * 3, 9)) {
            others.shape(TOKENS * 3, 9);
            MemorySegment body = block(arena, layout);
            for (CodeBatch filling : new CodeBatch[] {codes, others, codes}) {
                for (int token = 0; token < TOKENS; token += token % 5 + 1) {
                    int count = Math.min(token % 5 + 1, TOKENS - token);
                    for (int head = 0; head < 3; head++) {
                        layout.pack(filling, token * 3 + head, 3, head, token, count, body);
                    }
                    assertThat(layout.coefficient(body, 2, token, 0))
                            .isEqualTo(kept(filling, token * 3 + 2, layout)[0]);
                }
                layout.close(body);
                assertThat(body.mismatch(packed(arena, layout, filling))).isEqualTo(-1);
            }
        }
    }

    @Test
    void theFirstPairsOfARowAreTheCodeAtASmallerBudget() {
        CodeBlockLayout large = layout(1, 64, 24, Coefficients.BITS_4, 0, 1000);
        CodeBlockLayout small = layout(1, 64, 9, Coefficients.BITS_4, 0, 1000);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = ofAllLengths(TOKENS, 24, 1000)) {
            for (int i = 0; i < TOKENS * 24; i++) { // large enough that none is kept as 0
                float coefficient = codes.coefficients().getAtIndex(JAVA_FLOAT, i);
                codes.coefficients().setAtIndex(JAVA_FLOAT, i, coefficient == 0 ? 0 : 5 + 10f / (1 + i % 24));
            }
            MemorySegment all = packed(arena, large, codes);
            MemorySegment few = packed(arena, small, codes);
            for (int token = 0; token < TOKENS; token++) {
                assertThat(large.pairs(all, 0, token)).isEqualTo(codes.count(token));
                assertThat(small.pairs(few, 0, token)).isEqualTo(Math.min(9, codes.count(token)));
                for (int pair = 0; pair < 9; pair++) {
                    assertThat(large.index(all, 0, token, pair)).isEqualTo(small.index(few, 0, token, pair));
                    assertThat(large.coefficient(all, 0, token, pair))
                            .isEqualTo(small.coefficient(few, 0, token, pair));
                }
            }
        }
    }

    @Test
    void codesSurviveTheirPlainForm() {
        CodeBlockLayout layout = layout(2, 24, 16, Coefficients.BITS_4, 0, 3000);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = ofAllLengths(TOKENS * 2, 16, 3000)) {
            MemorySegment body = packed(arena, layout, codes);
            MemorySegment plain = arena.allocate(layout.plain().byteSize(), 64);
            MemorySegment again = block(arena, layout);
            layout.toPlain(body, plain);
            layout.fromPlain(plain, again);
            assertThat(again.mismatch(body)).isEqualTo(-1);
        }
    }

    @Test
    void theHeadsAreAnArrowRecordBatch() {
        CodeBlockLayout layout = layout(3, 24, 5, Coefficients.BITS_6, 1, 4096);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = ofAllLengths(TOKENS * 3, 5, 4096);
                RootAllocator allocator = new RootAllocator()) {
            MemorySegment body = packed(arena, layout, codes);
            try (VectorSchemaRoot root = CodeBlockSchema.wrap(layout, body, allocator)) {
                assertThat(root.getSchema()).isEqualTo(CodeBlockSchema.of(layout));
                assertThat(root.getRowCount()).isEqualTo(3);
                VarBinaryVector heads = (VarBinaryVector) root.getVector("codes");
                assertThat(heads.getOffsetBuffer().memoryAddress())
                        .as("no copy")
                        .isEqualTo(body.address());
                long at = 16;
                for (int head = 0; head < 3; head++) {
                    byte[] bytes = heads.get(head);
                    assertThat(MemorySegment.ofArray(bytes).mismatch(body.asSlice(at, bytes.length)))
                            .isEqualTo(-1);
                    assertThat(bytes[0] & 7).isEqualTo(layout.pairs(body, head, 0));
                    at += bytes.length;
                }
                assertThat(at).isGreaterThan(layout.byteSize(body) - 8).isLessThanOrEqualTo(layout.byteSize(body));
            }
        }
    }

    @Test
    void theContractIsTheSchemaOfTheBlockItDescribes() {
        assertThat(CodeBlockSchema.of(layout(2, 128, 16, Coefficients.BITS_4, 0, 4096)))
                .isEqualTo(CodeBlockSchema.countedContract());
    }

    @Test
    void plainPairsAreNotCounted() {
        assertThatThrownBy(() -> PairFormat.PLAIN.withCounts(true))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("fp16", "4 bits");
    }

    private static CodeBlockLayout layout(
            int heads, int dHead, int budget, Coefficients form, int residualBits, int latents) {
        PairFormat pairs = PairFormat.of(form, residualBits, latents).withCounts(true);
        return new CodeBlockLayout(SITE, heads, dHead, budget, pairs);
    }

    private static MemorySegment block(Arena arena, CodeBlockLayout layout) {
        return arena.allocate(layout.byteSize(), 64);
    }

    private static MemorySegment packed(Arena arena, CodeBlockLayout layout, CodeBatch codes) {
        MemorySegment body = block(arena, layout);
        for (int head = 0; head < layout.kvHeads(); head++) {
            layout.pack(codes, head, layout.kvHeads(), head, 0, TOKENS, body);
        }
        layout.close(body);
        return body;
    }

    private static void assertHolds(CodeBlockLayout layout, MemorySegment body, CodeBatch codes) {
        int heads = layout.kvHeads();
        for (int row = 0; row < TOKENS * heads; row++) {
            float[] kept = kept(codes, row, layout);
            int at = 0;
            for (int pair = 0; pair < kept.length; pair++) {
                if (kept[pair] != 0) {
                    assertThat(layout.index(body, row % heads, row / heads, at)).isEqualTo(codes.index(row, pair));
                    assertThat(layout.coefficient(body, row % heads, row / heads, at))
                            .isEqualTo(kept[pair]);
                    at++;
                }
            }
            assertThat(layout.pairs(body, row % heads, row / heads)).isEqualTo(at);
            for (; at < layout.budget(); at++) {
                assertThat(layout.index(body, row % heads, row / heads, at)).isZero();
                assertThat(layout.coefficient(body, row % heads, row / heads, at))
                        .isZero();
            }
        }
    }

    private static float[] kept(CodeBatch codes, int row, CodeBlockLayout layout) {
        float[] kept = new float[layout.budget()];
        for (int pair = 0; pair < kept.length; pair++) {
            kept[pair] = codes.coefficient(row, pair);
        }
        layout.pairs().coefficients().round(kept);
        return kept;
    }

    /** Codes of no pairs, of all pairs, and of numbers between, some of their coefficients negative or so small that they are kept as 0. */
    private static CodeBatch ofAllLengths(int rows, int budget, int latents) {
        SplittableRandom random = new SplittableRandom(5);
        CodeBatch codes = CodeBatch.allocate(rows, budget);
        codes.shape(rows, budget);
        for (int row = 0; row < rows; row++) {
            int count = row % 7 == 0 ? 0 : row % 7 == 1 ? budget : random.nextInt(budget + 1);
            for (int pair = 0; pair < budget; pair++) {
                boolean there = pair < count;
                double coefficient = random.nextDouble(-0.2, 1) * Math.pow(0.9, pair);
                codes.indices().setAtIndex(JAVA_INT, (long) row * budget + pair, there ? random.nextInt(latents) : 0);
                codes.coefficients()
                        .setAtIndex(JAVA_FLOAT, (long) row * budget + pair, there ? (float) coefficient : 0f);
            }
            codes.counts().setAtIndex(JAVA_INT, row, count);
        }
        return codes;
    }
}
