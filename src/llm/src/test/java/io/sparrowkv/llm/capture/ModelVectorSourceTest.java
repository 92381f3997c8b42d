package io.sparrowkv.llm.capture;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.capture.Tap;
import io.sparrowkv.capture.VectorSink;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.ReferenceModel;
import io.sparrowkv.llm.model.TinyModel;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelVectorSourceTest {
    @TempDir
    Path folder;

    /** Keeps what it is given, by layer and tap, in the order of the calls. */
    private record Keeping(Map<String, float[]> seen, int lastLayer, List<Tap> taps) implements VectorSink {
        @Override
        public boolean wants(int layer, Tap tap) {
            return layer <= lastLayer && taps.contains(tap);
        }

        @Override
        public void accept(int layer, Tap tap, int firstPosition, int tokens, MemorySegment vectors) {
            assertThat(firstPosition).isZero();
            float[] values = vectors.toArray(ValueLayout.JAVA_FLOAT);
            assertThat(values).hasSize(tokens * 2 * 8);
            assertThat(seen.put(layer + tap.label(), values)).isNull();
        }
    }

    private static Map<String, float[]> read(ModelVectorSource source, long chunk, int lastLayer, Tap... taps) {
        Keeping sink = new Keeping(new LinkedHashMap<>(), lastLayer, List.of(taps));
        source.read(chunk, sink);
        return sink.seen;
    }

    @Test
    void aChunkIsAContextOfItsOwnReadableAtAnyTime() {
        TinyModel.of("qwen3").set("head_dim", 8).write(folder);
        int[] tokens = new Random(2).ints(25, 0, TinyModel.VOCABULARY).toArray();
        try (CausalLm lm = CausalLm.load(folder);
                ModelVectorSource source = new ModelVectorSource(lm, tokens, 10)) {
            assertThat(source.chunks()).isEqualTo(3);
            assertThat(source.origin().chunkTokens()).isEqualTo(10);
            assertThat(source.origin().modelFingerprint()).isEqualTo(lm.fingerprint());
            assertThat(source.tokens(2)).containsExactly(Arrays.copyOfRange(tokens, 20, 25));

            Map<String, float[]> last = read(source, 2, 1, Tap.values());
            Map<String, float[]> first = read(source, 0, 1, Tap.values());
            assertThat(first.keySet())
                    .containsExactly("0key_pre", "0key_post", "0value", "1key_pre", "1key_post", "1value");
            assertEqual(new ReferenceModel(folder).run(source.tokens(0)), first);
            assertEqual(new ReferenceModel(folder).run(source.tokens(2)), last);
            assertThat(read(source, 2, 1, Tap.values()))
                    .usingRecursiveComparison()
                    .isEqualTo(last);
        }
    }

    private static void assertEqual(ReferenceModel.Trace expected, Map<String, float[]> found) {
        for (int layer = 0; layer < 2; layer++) {
            assertClose(expected.keysBeforeRope().get(layer), found.get(layer + "key_pre"));
            assertClose(expected.keysAfterRope().get(layer), found.get(layer + "key_post"));
            assertClose(expected.values().get(layer), found.get(layer + "value"));
        }
    }

    private static void assertClose(List<double[]> rows, float[] found) {
        assertThat(found).hasSize(rows.size() * 16);
        for (int i = 0; i < found.length; i++) {
            assertThat(Math.abs(rows.get(i / 16)[i % 16] - found[i])).isLessThan(1e-4);
        }
    }

    @Test
    void onlyWhatIsWantedIsHandedOut() {
        TinyModel.llama().write(folder);
        try (CausalLm lm = CausalLm.load(folder);
                ModelVectorSource source = new ModelVectorSource(lm, new int[] {1, 2, 3}, 3)) {
            assertThat(read(source, 0, 0, Tap.VALUE).keySet()).containsExactly("0value");
            assertThat(read(source, 0, -1, Tap.VALUE)).isEmpty();
            assertThatThrownBy(() -> read(source, 1, 0, Tap.VALUE)).isInstanceOf(IndexOutOfBoundsException.class);
        }
    }

    @Test
    void theDataFingerprintIsOfTheTextAndItsDivision() {
        TinyModel.llama().write(folder);
        try (CausalLm lm = CausalLm.load(folder)) {
            String one = fingerprint(lm, new int[] {1, 2, 3}, 2);
            assertThat(fingerprint(lm, new int[] {1, 2, 3}, 2)).isEqualTo(one);
            assertThat(fingerprint(lm, new int[] {1, 2, 4}, 2)).isNotEqualTo(one);
            assertThat(fingerprint(lm, new int[] {1, 2, 3}, 3)).isNotEqualTo(one);
            assertThatThrownBy(() -> fingerprint(lm, new int[0], 2)).isInstanceOf(InvalidInputException.class);
            assertThatThrownBy(() -> fingerprint(lm, new int[1], 129))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("129", "128");
        }
    }

    private static String fingerprint(CausalLm lm, int[] tokens, int context) {
        try (ModelVectorSource source = new ModelVectorSource(lm, tokens, context)) {
            return source.origin().dataFingerprint();
        }
    }
}
