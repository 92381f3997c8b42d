package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.ArrowBlockStore;
import io.sparrowkv.store.BlockKey;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;
import org.apache.arrow.vector.Float2Vector;
import org.apache.arrow.vector.UInt2Vector;
import org.apache.arrow.vector.VectorSchemaRoot;
import org.apache.arrow.vector.complex.FixedSizeListVector;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
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
        BlockKey key = new BlockKey(9, SITE);
        try (Arena arena = Arena.ofConfined();
                CodeBatch codes = random(64 * 2, 6);
                ArrowBlockStore store = new ArrowBlockStore(1 << 20)) {
            MemorySegment body = pack(layout, codes, arena);
            store.put(key, layout, body);
            try (VectorSchemaRoot root = store.vectors(key).orElseThrow()) {
                assertThat(root.getSchema()).isEqualTo(CodeBlockSchema.of(layout));
                assertThat(root.getRowCount()).isEqualTo(128);
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
        SplittableRandom random = new SplittableRandom(5);
        CodeBatch codes = CodeBatch.allocate(rows, budget);
        codes.shape(rows, budget);
        for (int row = 0; row < rows; row++) {
            float coefficient = 100;
            for (int pair = 0; pair < budget; pair++) {
                coefficient *= (float) random.nextDouble(0.9, 1);
                codes.indices().setAtIndex(JAVA_INT, (long) row * budget + pair, random.nextInt(65536));
                codes.coefficients().setAtIndex(JAVA_FLOAT, (long) row * budget + pair, coefficient);
            }
            codes.counts().setAtIndex(JAVA_INT, row, budget);
        }
        return codes;
    }
}
