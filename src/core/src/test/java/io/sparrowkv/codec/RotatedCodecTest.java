package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class RotatedCodecTest {
    private static final int COUNT = 37;

    static Stream<Arguments> widthsAndBits() {
        return IntStream.of(8, 24, 40, 64, 80, 128, 272)
                .boxed()
                .flatMap(dHead -> IntStream.rangeClosed(1, 4).mapToObj(bits -> Arguments.of(dHead, bits)));
    }

    @ParameterizedTest(name = "d={0}, {1} bits")
    @MethodSource("widthsAndBits")
    void vectorsMayBeReadBeforeTheyAreRotatedBack(int dHead, int bits) {
        RotatedCodec codec = new RotatedCodec(dHead, bits);
        try (Arena arena = Arena.ofConfined()) {
            // Rows of odd lengths, the first at the beginning of memory and the last at its end.
            int gap = 5;
            long stride = codec.vectorBytes() + gap;
            MemorySegment bytes = arena.allocate(COUNT * stride - gap);
            long[] offsets =
                    IntStream.range(0, COUNT).mapToLong(t -> t * stride).toArray();
            Random random = new Random(bits);
            for (long offset : offsets) {
                codec.encode(gaussian(random, dHead), bytes, offset);
            }
            MemorySegment rows = arena.allocate(JAVA_FLOAT, (long) COUNT * dHead);

            codec.decodeRotated(bytes, offsets, COUNT, rows);

            TreeMap<Integer, Float> levels = new TreeMap<>();
            float[] decoded = new float[dHead];
            float[] rotated = new float[dHead];
            for (int t = 0; t < COUNT; t++) {
                float scale = Float.float16ToFloat(bytes.get(JAVA_SHORT_UNALIGNED, offsets[t]));
                MemorySegment.copy(rows, JAVA_FLOAT, (long) t * dHead * Float.BYTES, rotated, 0, dHead);
                for (int d = 0; d < dHead; d++) {
                    float ofScale = rotated[d] / scale;
                    int kept = level(bytes, offsets[t] + Short.BYTES, d, bits);
                    float level = levels.computeIfAbsent(kept, first -> ofScale);
                    assertThat(rotated[d]).isCloseTo(scale * level, within(1e-6f));
                }
                codec.decode(bytes, offsets[t], decoded);
                codec.rotateBack(rotated);
                assertThat(rotated).containsExactly(decoded, within(1e-6f));
            }
            assertThat(List.copyOf(levels.values())).isSorted().doesNotHaveDuplicates();
        }
    }

    @ParameterizedTest(name = "d={0}, {1} bits")
    @MethodSource("widthsAndBits")
    void productsAreThoseOfTheVectors(int dHead, int bits) {
        RotatedCodec codec = new RotatedCodec(dHead, bits);
        Random random = new Random(dHead);
        float[] a = gaussian(random, dHead);
        float[] b = gaussian(random, dHead);
        double product = dot(a, b);
        float[] before = a.clone();

        codec.rotate(a);
        codec.rotate(b);

        assertThat(dot(a, b)).isCloseTo(product, within(1e-6 * dHead));
        codec.rotateBack(a);
        assertThat(a).containsExactly(before, within(1e-5f));
    }

    /** The level of one number as the format has it: its bits one after the other, the first lowest. */
    private static int level(MemorySegment bytes, long at, int d, int bits) {
        int level = 0;
        for (int b = 0; b < bits; b++) {
            int bit = d * bits + b;
            level |= (bytes.get(JAVA_BYTE, at + bit / 8) >> bit % 8 & 1) << b;
        }
        return level;
    }

    private static float[] gaussian(Random random, int dHead) {
        float[] vector = new float[dHead];
        for (int d = 0; d < dHead; d++) {
            vector[d] = (float) random.nextGaussian();
        }
        return vector;
    }

    private static double dot(float[] a, float[] b) {
        double sum = 0;
        for (int d = 0; d < a.length; d++) {
            sum += (double) a[d] * b[d];
        }
        return sum;
    }
}
