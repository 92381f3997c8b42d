package io.sparrowkv.codec;

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
import java.util.List;
import java.util.SplittableRandom;
import org.apache.arrow.memory.RootAllocator;
import org.apache.arrow.vector.FixedSizeBinaryVector;
import org.apache.arrow.vector.Float2Vector;
import org.apache.arrow.vector.UInt2Vector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class CodeBlockTest {
    private static final Site SITE = Site.of(3, VectorKind.VALUE);

    @Test
    void theContractIsTheSchemaOfTheBlockItDescribes() {
        assertThat(CodeBlockSchema.of(new CodeBlockLayout(SITE, 2, 128, 16))).isEqualTo(CodeBlockSchema.contract());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 7, 16, 64, 65})
    void codesComeBackAsTheyWent(int budget) {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 3, 24, budget);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = random(64 * 3, budget)) {
            MemorySegment body = pack(layout, codes, arena);
            for (int token = 0; token < 64; token++) {
                for (int head = 0; head < 3; head++) {
                    for (int pair = 0; pair < budget; pair++) {
                        int row = token * 3 + head;
                        assertThat(layout.index(body, head, token, pair)).isEqualTo(codes.index(row, pair));
                        // A binary16 has 11 significant bits.
                        assertThat(layout.coefficient(body, head, token, pair))
                                .isCloseTo(
                                        codes.coefficient(row, pair),
                                        org.assertj.core.data.Offset.offset(codes.coefficient(row, pair) * 0x1p-11f));
                    }
                }
            }
        }
    }

    @Test
    void aBlockIsPackedInPartsAsItIsAtOnce() {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 2, 24, 5);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = random(64 * 2, 9)) {
            MemorySegment parts = arena.allocate(layout.byteSize(), 64);
            for (int token = 0; token < 64; token += 16) {
                for (int head = 0; head < 2; head++) {
                    layout.pack(codes, token * 2 + head, 2, head, token, 16, parts);
                }
            }
            assertThat(parts.mismatch(pack(layout, codes, arena))).isEqualTo(-1);
        }
    }

    @Test
    void theBytesAreAnArrowRecordBatch() {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 2, 24, 6);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = random(64 * 2, 6);
                RootAllocator allocator = new RootAllocator()) {
            MemorySegment body = pack(layout, codes, arena);
            try (VectorSchemaRoot root = CodeBlockSchema.wrap(layout, body, allocator)) {
                assertThat(root.getSchema()).isEqualTo(CodeBlockSchema.of(layout));
                assertThat(root.getRowCount()).isEqualTo(128);
                assertThat(((FixedSizeListVector) root.getVector("index"))
                                .getDataVector()
                                .getDataBuffer()
                                .memoryAddress())
                        .as("no copy")
                        .isEqualTo(body.address());
                UInt2Vector indices = (UInt2Vector) ((FixedSizeListVector) root.getVector("index")).getDataVector();
                Float2Vector coefficients =
                        (Float2Vector) ((FixedSizeListVector) root.getVector("coefficient")).getDataVector();
                for (int row = 0; row < 128; row++) {
                    for (int pair = 0; pair < 6; pair++) {
                        assertThat((int) indices.get(row * 6 + pair))
                                .isEqualTo(layout.index(body, row / 64, row % 64, pair));
                        assertThat(coefficients.getValueAsFloat(row * 6 + pair))
                                .isEqualTo(layout.coefficient(body, row / 64, row % 64, pair));
                    }
                }
            }
        }
    }

    @Test
    void theContractOfPackedPairsIsTheSchemaOfTheBlockItDescribes() {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 2, 128, 16, PairFormat.of(Coefficients.BITS_4, 0, 4096));
        assertThat(CodeBlockSchema.of(layout)).isEqualTo(CodeBlockSchema.packedContract());
    }

    @ParameterizedTest(name = "K {0}, M {1}, d {2}, {3} bits")
    @CsvSource({
        "1, 2, 16, 4",
        "1, 4096, 16, 4",
        "8, 4096, 128, 4",
        "16, 4096, 128, 4",
        "16, 4096, 128, 6",
        "16, 4096, 128, 8",
        "7, 257, 24, 4",
        "13, 300, 80, 6",
        "33, 8193, 256, 6",
        "64, 32768, 256, 8",
        "64, 65536, 128, 4",
        "5, 65536, 128, 6",
        "3, 65536, 16, 8"
    })
    void packedCodesComeBackWithinHalfAStepAndByTheBitsOfTheFormat(int budget, int latents, int dHead, String bits) {
        Coefficients form = Coefficients.parse(bits);
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 3, dHead, budget, PairFormat.of(form, 0, latents));
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = signed(64 * 3, budget, latents)) {
            MemorySegment body = pack(layout, codes, arena);
            for (int row = 0; row < 64 * 3; row++) {
                float[] kept = new float[budget];
                for (int pair = 0; pair < budget; pair++) {
                    kept[pair] = codes.coefficient(row, pair);
                }
                form.round(kept);
                for (int pair = 0; pair < budget; pair++) {
                    assertThat(layout.index(body, row % 3, row / 3, pair)).isEqualTo(codes.index(row, pair));
                    assertThat(layout.coefficient(body, row % 3, row / 3, pair)).isEqualTo(kept[pair]);
                }
            }
            int indexBits = layout.pairs().indexBits();
            assertThat(1 << indexBits).isGreaterThanOrEqualTo(latents);
            assertThat(indexBits).isIn(8, 32 - Integer.numberOfLeadingZeros(latents - 1));
            assertThat(layout.rowBytes()).isEqualTo((budget * (indexBits + form.bits()) + 7) / 8 + 2);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Coefficients.class,
            names = {"BITS_4", "BITS_6", "BITS_8"})
    void theFirstPairsOfAPackedRowAreTheCodeAtASmallerBudget(Coefficients form) {
        CodeBlockLayout large = new CodeBlockLayout(SITE, 1, 64, 24, PairFormat.of(form, 0, 1000));
        CodeBlockLayout small = new CodeBlockLayout(SITE, 1, 64, 9, PairFormat.of(form, 0, 1000));
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = random(64, 24, 1000)) {
            MemorySegment all = pack(large, codes, arena);
            MemorySegment few = pack(small, codes, arena);
            for (int token = 0; token < 64; token++) {
                for (int pair = 0; pair < 9; pair++) {
                    assertThat(large.index(all, 0, token, pair)).isEqualTo(small.index(few, 0, token, pair));
                    assertThat(large.coefficient(all, 0, token, pair))
                            .isEqualTo(small.coefficient(few, 0, token, pair));
                }
            }
        }
    }

    @Test
    void packedRowsAreAnArrowRecordBatch() {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 2, 24, 5, PairFormat.of(Coefficients.BITS_6, 0, 4096));
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = random(64 * 2, 5, 4096);
                RootAllocator allocator = new RootAllocator()) {
            MemorySegment body = pack(layout, codes, arena);
            try (VectorSchemaRoot root = CodeBlockSchema.wrap(layout, body, allocator)) {
                assertThat(root.getSchema()).isEqualTo(CodeBlockSchema.of(layout));
                FixedSizeBinaryVector rows = (FixedSizeBinaryVector) root.getVector("code");
                for (int row = 0; row < 128; row++) {
                    assertThat(MemorySegment.ofArray(rows.get(row))
                                    .mismatch(body.asSlice((long) row * layout.rowBytes(), layout.rowBytes())))
                            .isEqualTo(-1);
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Coefficients.class,
            names = {"BITS_4", "BITS_6", "BITS_8"})
    void packedCodesSurviveTheirPlainForm(Coefficients form) {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 2, 24, 16, PairFormat.of(form, 0, 3000));
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = signed(64 * 2, 16, 3000)) {
            MemorySegment body = pack(layout, codes, arena);
            MemorySegment plain = arena.allocate(layout.plain().byteSize(), 64);
            MemorySegment again = arena.allocate(layout.byteSize(), 64);
            layout.toPlain(body, plain);
            layout.fromPlain(plain, again);
            assertThat(again.mismatch(body)).isEqualTo(-1);
        }
    }

    @Test
    void aResidualLiesBehindTheScaleOfItsRow() {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 2, 128, 7, PairFormat.of(Coefficients.BITS_4, 1, 4096));
        assertThat(layout.rowBytes()).isEqualTo(7 * 2 + 2 + 2 + 128 / 8);
        assertThat(layout.residualOffset(7)).isEqualTo(7 * 2 + 2);
        assertThat(layout.byteSize()).isEqualTo(128L * layout.rowBytes());
        assertThat(layout.indexBytes()).isEqualTo(128 * 7 * 12 / 8);
        assertThat(layout.scaleBytes()).isEqualTo(128 * 4);
        assertThat(layout.residualBytes()).isEqualTo(128 * 128 / 8);
    }

    @Test
    void codesThatAreAllZeroStayZero() {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 1, 24, 3, PairFormat.of(Coefficients.BITS_4, 0, 100));
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = CodeBatch.allocate(64, 3)) {
            codes.shape(64, 3);
            MemorySegment body = arena.allocate(layout.byteSize(), 64).fill((byte) 0xFF);
            layout.pack(codes, 0, 1, 0, 0, 64, body);
            assertThat(layout.index(body, 0, 63, 2)).isZero();
            assertThat(layout.coefficient(body, 0, 63, 2)).isZero();
        }
    }

    @Test
    void theFormatFieldIsReadBackAndADamagedOneIsNamed() {
        for (String text : List.of(
                "sparse/1",
                "sparse/1 12+4",
                "sparse/1 16+8 refit",
                "sparse/1 12+4+residual:1 pursuit:64",
                "sparse/1 12+4+counted pursuit:64:0.2",
                "sparse/1 16+8+counted+residual:2 pursuit:64:0.2",
                "sparse/1 pursuit:64")) {
            assertThat(BlockCodec.parse(text).label()).isEqualTo(text);
        }
        refusedCodec("sparse/9", "9", "1");
        refusedCodec("sparse/1 12+5", "12+5");
        refusedCodec("sparse/1 12+4+residual:5", "residual:5");
        refusedCodec("sparse/1 17+4", "17", "16");
        refusedCodec("sparse/1 7+4", "7", "8");
        refusedCodec("sparse/1 12+4 chase:3", "chase:3", "pursuit");
        refusedCodec("", "''", "sparse/1 12+4 pursuit:64");
        refusedCodec("dense", "dense");
    }

    private static void refusedCodec(String text, String... words) {
        assertThatThrownBy(() -> BlockCodec.parse(text))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll(words);
    }

    @Test
    void aCoefficientBeyondFp16IsRefused() {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 1, 24, 2);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = random(64, 2)) {
            codes.coefficients().setAtIndex(JAVA_FLOAT, 10, 65504f);
            pack(layout, codes, arena);
            codes.coefficients().setAtIndex(JAVA_FLOAT, 10, 70000f);
            assertThatThrownBy(() -> pack(layout, codes, arena))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("layer.03.value", "70000", "65504");
        }
    }

    @Test
    void aBlockTakesFourBytesAPair() {
        CodeBlockLayout layout = new CodeBlockLayout(SITE, 8, 128, 16);
        assertThat(layout.byteSize()).isEqualTo(64L * 8 * 16 * 4);
        assertThat(layout.coefficientOffset() % 64).isZero();
    }

    private static MemorySegment pack(CodeBlockLayout layout, CodeBatch codes, Arena arena) {
        MemorySegment body = arena.allocate(layout.byteSize(), 64);
        for (int head = 0; head < layout.kvHeads(); head++) {
            layout.pack(codes, head, layout.kvHeads(), head, 0, 64, body);
        }
        return body;
    }

    /** Codes with indices over all 16 bits and coefficients in falling order. */
    private static CodeBatch random(int rows, int budget) {
        return random(rows, budget, 65536);
    }

    /** Codes some of whose coefficients are negative, small or large, or 0 from some pair on. */
    private static CodeBatch signed(int rows, int budget, int latents) {
        CodeBatch codes = random(rows, budget, latents);
        SplittableRandom random = new SplittableRandom(6);
        for (int row = 0; row < rows; row++) {
            int end = row % 5 == 0 ? random.nextInt(budget + 1) : budget;
            for (int pair = 0; pair < budget; pair++) {
                float factor = random.nextInt(4) == 0 ? (float) random.nextDouble(-1, row % 2 == 0 ? 0.2 : 2) : 1;
                float coefficient = pair < end ? codes.coefficient(row, pair) * factor : 0;
                codes.coefficients().setAtIndex(JAVA_FLOAT, (long) row * budget + pair, coefficient);
                if (pair >= end) {
                    codes.indices().setAtIndex(JAVA_INT, (long) row * budget + pair, 0);
                }
            }
        }
        return codes;
    }

    private static CodeBatch random(int rows, int budget, int latents) {
        SplittableRandom random = new SplittableRandom(5);
        CodeBatch codes = CodeBatch.allocate(rows, budget);
        codes.shape(rows, budget);
        for (int row = 0; row < rows; row++) {
            float coefficient = 100;
            for (int pair = 0; pair < budget; pair++) {
                coefficient *= (float) random.nextDouble(0.9, 1);
                codes.indices().setAtIndex(JAVA_INT, (long) row * budget + pair, random.nextInt(latents));
                codes.coefficients().setAtIndex(JAVA_FLOAT, (long) row * budget + pair, coefficient);
            }
            codes.counts().setAtIndex(JAVA_INT, row, budget);
        }
        return codes;
    }
}
