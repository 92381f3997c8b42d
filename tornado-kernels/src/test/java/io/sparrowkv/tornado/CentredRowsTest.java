package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.sae.RandomDictionaries;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Widths below, between and at multiples of a vector register, with and without room between rows. */
class CentredRowsTest {
    private static final int ROWS = 5;
    private static final int FROM = 2;
    private static final float UNTOUCHED = 77f;

    @ParameterizedTest
    @CsvSource({"1, 8", "15, 16", "24, 24", "24, 32", "80, 88", "128, 128"})
    void rowsAreWrittenWithoutTheBias(int dHead, int stride) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, FROM + ROWS, dHead, 1);
            MemorySegment bias = RandomDictionaries.vectors(arena, 1, dHead, 2);
            MemorySegment centred = arena.allocate(JAVA_FLOAT, (long) ROWS * stride);
            for (long i = 0; i < (long) ROWS * stride; i++) {
                centred.setAtIndex(JAVA_FLOAT, i, UNTOUCHED);
            }
            assertThat(CentredRows.write(vectors, FROM, ROWS, dHead, bias, centred, stride))
                    .isEqualTo(CentredRows.NO_ROW);
            for (int row = 0; row < ROWS; row++) {
                for (int i = 0; i < stride; i++) {
                    float expected = i < dHead
                            ? vectors.getAtIndex(JAVA_FLOAT, (long) (FROM + row) * dHead + i)
                                    - bias.getAtIndex(JAVA_FLOAT, i)
                            : UNTOUCHED;
                    assertThat(centred.getAtIndex(JAVA_FLOAT, (long) row * stride + i))
                            .isEqualTo(expected);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 15, 24, 128})
    void theFirstRowThatIsNotFiniteIsFound(int dHead) {
        float[] notFinite = {
            Float.NaN, Float.intBitsToFloat(0xffc00001), Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY
        };
        try (Arena arena = Arena.ofConfined()) {
            for (int i = 0; i < dHead; i++) {
                MemorySegment vectors = RandomDictionaries.vectors(arena, FROM + ROWS, dHead, 1);
                vectors.setAtIndex(JAVA_FLOAT, i, Float.NaN); // before the first row that is asked for
                for (int row : new int[] {FROM + ROWS - 1, FROM + 1}) {
                    vectors.setAtIndex(JAVA_FLOAT, (long) row * dHead + i, notFinite[i % notFinite.length]);
                    assertThat(write(arena, vectors, dHead)).isEqualTo(row);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.MAX_VALUE, -Float.MAX_VALUE, Float.MIN_VALUE, -0f})
    void theExtremesOfFiniteNumbersPass(float extreme) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment vectors = arena.allocate(JAVA_FLOAT, (FROM + ROWS) * 24L);
            for (long i = 0; i < (FROM + ROWS) * 24L; i++) {
                vectors.setAtIndex(JAVA_FLOAT, i, extreme);
            }
            assertThat(write(arena, vectors, 24)).isEqualTo(CentredRows.NO_ROW);
        }
    }

    private static int write(Arena arena, MemorySegment vectors, int dHead) {
        return CentredRows.write(
                vectors,
                FROM,
                ROWS,
                dHead,
                arena.allocate(JAVA_FLOAT, dHead),
                arena.allocate(JAVA_FLOAT, (long) ROWS * dHead),
                dHead);
    }
}
