package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Offset.offset;

import io.sparrowkv.sae.RandomDictionaries;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RotaryEmbeddingTest {
    @ParameterizedTest
    @ValueSource(ints = {2, 22, 24, 80, 128})
    void turnsAsDefinedAndBack(int dHead) {
        RotaryEmbedding rotary = RotaryEmbedding.plain(dHead, 10000);
        try (Arena arena = Arena.ofConfined()) {
            for (int position : new int[] {0, 1, 63, 1023, 1024, 5000}) {
                MemorySegment vector = RandomDictionaries.vectors(arena, 1, dHead, position);
                float[] before = vector.toArray(JAVA_FLOAT);
                rotary.rotate(vector, 0, 1, 1, position);
                for (int i = 0; i < dHead / 2; i++) {
                    double angle = position * (float) Math.pow(10000, -2.0 * i / dHead);
                    double x = before[i] * Math.cos(angle) - before[i + dHead / 2] * Math.sin(angle);
                    double y = before[i + dHead / 2] * Math.cos(angle) + before[i] * Math.sin(angle);
                    // The angle is an fp32 product: off by up to 2^-24 of itself.
                    float slack = 1e-5f + position * 0x1p-22f;
                    assertThat(vector.getAtIndex(JAVA_FLOAT, i)).isCloseTo((float) x, offset(slack));
                    assertThat(vector.getAtIndex(JAVA_FLOAT, i + dHead / 2)).isCloseTo((float) y, offset(slack));
                }
                rotary.unrotate(vector, 0, 1, 1, position);
                for (int i = 0; i < dHead; i++) {
                    assertThat(vector.getAtIndex(JAVA_FLOAT, i)).isCloseTo(before[i], offset(1e-5f));
                }
            }
        }
    }

    @Test
    void growingKeepsWhatWasThere() {
        RotaryEmbedding rotary = RotaryEmbedding.plain(24, 10000);
        RotaryEmbedding.Tables small = rotary.tables(10);
        RotaryEmbedding.Tables large = rotary.tables(3000);
        assertThat(large.positions()).isGreaterThanOrEqualTo(3000);
        assertThat(large.cos().asSlice(0, small.cos().byteSize()).mismatch(small.cos()))
                .isEqualTo(-1);
        assertThat(large.sin().asSlice(0, small.sin().byteSize()).mismatch(small.sin()))
                .isEqualTo(-1);
        assertThat(rotary.tables(3000).cos()).isSameAs(large.cos());
    }
}
