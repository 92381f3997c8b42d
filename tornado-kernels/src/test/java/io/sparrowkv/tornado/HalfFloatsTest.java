package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;

class HalfFloatsTest {
    /** Rounds a dictionary's encoder to binary16, in place. */
    static Dictionary round(Dictionary dictionary) {
        for (MemorySegment floats : new MemorySegment[] {dictionary.encoderWeights(), dictionary.encoderBias()}) {
            for (long i = 0; i < floats.byteSize() / Float.BYTES; i++) {
                float value = floats.getAtIndex(JAVA_FLOAT, i);
                floats.setAtIndex(JAVA_FLOAT, i, Float.float16ToFloat(Float.floatToFloat16(value)));
            }
        }
        return dictionary;
    }

    @Test
    void everyFiniteHalfIsWidenedExactly() {
        FloatArray scales = HalfFloats.scales();
        ShortArray halves = new ShortArray(2 << Short.SIZE);
        FloatArray wide = new FloatArray(1 << Short.SIZE);
        for (int i = 0; i < wide.getSize(); i++) {
            halves.set(wide.getSize() + i, (short) i);
        }
        IntArray batch = new IntArray(BatchField.COUNT);
        batch.init(0);
        batch.set(BatchField.SLOT, 1);
        batch.set(BatchField.SEQUENCE, 7);
        HalfFloats.widen(batch, halves, scales, wide, wide.getSize());
        assertThat(batch.get(BatchField.WIDENED)).isEqualTo(7);
        for (int i = 0; i < wide.getSize(); i++) {
            float expected = Float.float16ToFloat((short) i);
            if (Float.isFinite(expected)) {
                assertThat(wide.get(i)).as("%x", i).isEqualTo(expected);
            }
        }
    }

    @Test
    void onlyWeightsThatLoseNothingAreKeptAsHalves() {
        try (Dictionary dictionary =
                RandomDictionaries.dictionary(Site.of(0, VectorKind.KEY), RopeStage.PRE, 16, 40, 1)) {
            assertThat(DictionaryBank.exactAsHalf(dictionary)).isFalse();
            assertThat(DictionaryBank.exactAsHalf(round(dictionary))).isTrue();
            dictionary.encoderBias().setAtIndex(JAVA_FLOAT, 39, 1e6f); // beyond the largest
            assertThat(DictionaryBank.exactAsHalf(dictionary)).isFalse();
            dictionary.encoderBias().setAtIndex(JAVA_FLOAT, 39, Float.NaN);
            assertThat(DictionaryBank.exactAsHalf(dictionary)).isFalse();
        }
    }
}
