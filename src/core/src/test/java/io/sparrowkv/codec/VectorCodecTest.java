package io.sparrowkv.codec;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class VectorCodecTest {
    @ParameterizedTest
    @CsvSource({
        "f16, 128, 256", "q8_0, 128, 136", "q4_0, 128, 72", "rotated-4, 128, 66", "rotated-3, 128, 50",
                "rotated-2, 128, 34",
        "rotated-1, 128, 18", "q8_0, 16, 18", "q4_0, 16, 10", "q4_0, 80, 50", "rotated-3, 80, 32", "rotated-1, 24, 5"
    })
    void aVectorTakesTheBytesOfItsFormat(String name, int dHead, int bytes) {
        assertThat(VectorCodecs.of(name, dHead).vectorBytes()).isEqualTo(bytes);
    }

    /** Distortions of the Gaussian: Max (1960), table I; of the block formats: a uniform step over the range of 32 numbers. */
    @ParameterizedTest
    @CsvSource({
        "f16, 128, 0, 1e-7",
        "q8_0, 128, 1e-6, 1e-4",
        "q4_0, 128, 0.004, 0.012",
        "rotated-1, 128, 0.345, 0.38",
        "rotated-2, 128, 0.108, 0.125",
        "rotated-3, 128, 0.031, 0.037",
        "rotated-4, 128, 0.0085, 0.0105",
        "rotated-2, 80, 0.10, 0.13",
        "rotated-4, 16, 0.007, 0.012",
        "rotated-3, 24, 0.028, 0.04"
    })
    void theErrorOfGaussianVectorsIsThatOfTheTheory(String name, int dHead, double least, double most) {
        VectorCodec codec = VectorCodecs.of(name, dHead);
        Random random = new Random(5);
        double error = 0;
        double square = 0;
        for (int i = 0; i < 2000; i++) {
            float[] vector = gaussian(dHead, random);
            float[] decoded = roundTrip(codec, vector);
            for (int d = 0; d < dHead; d++) {
                error += Math.pow(vector[d] - decoded[d], 2);
                square += vector[d] * vector[d];
            }
        }
        assertThat(error / square).isBetween(least, most);
    }

    @ParameterizedTest
    @CsvSource({"f16", "q8_0", "q4_0", "rotated-1", "rotated-2", "rotated-3", "rotated-4"})
    void zeroStaysZeroAndScaleDoesNotMatter(String name) {
        VectorCodec codec = VectorCodecs.of(name, 64);
        for (float x : roundTrip(codec, new float[64])) {
            assertThat(x == 0).isTrue(); // of either sign
        }
        float[] vector = gaussian(64, new Random(6));
        float[] doubled = vector.clone();
        for (int d = 0; d < 64; d++) {
            doubled[d] *= 2;
        }
        float[] once = roundTrip(codec, vector);
        float[] twice = roundTrip(codec, doubled);
        for (int d = 0; d < 64; d++) {
            assertThat(twice[d]).isCloseTo(2 * once[d], within(1e-6f));
        }
    }

    @ParameterizedTest
    @CsvSource({"f16", "q8_0", "q4_0", "rotated-3"})
    void vectorsLieSideBySideWithoutTouchingEachOther(String name) {
        VectorCodec codec = VectorCodecs.of(name, 32);
        Random random = new Random(7);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(3L * codec.vectorBytes());
            float[][] alone = new float[3][];
            for (int order : new int[] {1, 0, 2}) {
                float[] vector = gaussian(32, random);
                alone[order] = roundTrip(codec, vector);
                codec.encode(vector.clone(), bytes, (long) order * codec.vectorBytes());
            }
            for (int i = 0; i < 3; i++) {
                float[] decoded = new float[32];
                codec.decode(bytes, (long) i * codec.vectorBytes(), decoded);
                assertThat(decoded).containsExactly(alone[i]);
            }
        }
    }

    /** Worked by hand after quantize_row_q4_0_ref: the extreme is −4, so s = 0.5; 0.5 is one step up from 8, and goes low. */
    @Test
    void q4BytesAreThoseOfLlamaCpp() {
        float[] vector = new float[32];
        vector[0] = -4f;
        vector[1] = 0.5f;
        vector[16] = 3.5f;
        vector[17] = 4f;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(18);
            new Q4Codec(32).encode(vector, bytes, 0);
            assertThat(Float.float16ToFloat(bytes.get(ValueLayout.JAVA_SHORT, 0)))
                    .isEqualTo(0.5f);
            assertThat(bytes.get(ValueLayout.JAVA_BYTE, 2)).isEqualTo((byte) 0xF0);
            assertThat(bytes.get(ValueLayout.JAVA_BYTE, 3)).isEqualTo((byte) 0xF9);
            assertThat(bytes.get(ValueLayout.JAVA_BYTE, 4)).isEqualTo((byte) 0x88);
        }
    }

    @Test
    void whatAFormatCannotHoldIsRefused() {
        assertThatThrownBy(() -> VectorCodecs.of("q5_1", 128))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("q5_1")
                .hasMessageContaining("rotated-2");
        assertThatThrownBy(() -> VectorCodecs.of("q4_0", 33)).isInstanceOf(InvalidInputException.class);
        assertThatThrownBy(() -> VectorCodecs.of("rotated-2", 20))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("20");
        float[] huge = new float[32];
        huge[3] = 1e6f;
        assertThatThrownBy(() -> roundTrip(new Float16Codec(32), huge))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("fp16");
    }

    private static float[] gaussian(int dHead, Random random) {
        float[] vector = new float[dHead];
        for (int d = 0; d < dHead; d++) {
            vector[d] = (float) random.nextGaussian();
        }
        return vector;
    }

    private static float[] roundTrip(VectorCodec codec, float[] vector) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment bytes = arena.allocate(codec.vectorBytes());
            codec.encode(vector.clone(), bytes, 0);
            float[] decoded = new float[codec.dHead()];
            codec.decode(bytes, 0, decoded);
            return decoded;
        }
    }
}
