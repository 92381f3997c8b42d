package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.codec.PrincipalAxes;
import io.sparrowkv.codec.TransformCodec;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.encode.NonFiniteVectorException;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class QuantizedCacheTest {
    private static final AttentionShape SHAPE = AttentionShape.of(1, 4, 2, 32);

    @ParameterizedTest
    @CsvSource({
        "f16, 64, 4, 250",
        "q8_0, 64, 0, 37",
        "q4_0, 10, 4, 1",
        "rotated-2, 64, 4, 100",
        "rotated-3, 0, 4, 33",
        "q4_0, 0, 0, 1"
    })
    void readsWhatTheCodecKeeps(String name, int window, int sinks, int chunk) {
        VectorCodec codec = VectorCodecs.of(name, 32);
        CacheOptions options = options(window, sinks);
        int tokens = 250;
        float[] queries = floats(tokens * 4 * 32, 1);
        float[] keys = floats(tokens * 2 * 32, 2);
        float[] values = floats(tokens * 2 * 32, 3);
        double[] expected = new DecodedAttention(SHAPE, options, codec).attend(0, queries, keys, values, tokens);
        float[] output = new float[queries.length];
        try (SparseCache cache = SparseCache.quantized(SHAPE, RotaryEmbedding.plain(32, 1e4), codec, options)) {
            for (int start = 0; start < tokens; start += chunk) {
                int count = Math.min(chunk, tokens - start);
                attend(cache, queries, keys, values, start, count, output);
            }
            assertThat(cache.length()).isEqualTo(tokens);
        }
        for (int i = 0; i < output.length; i++) {
            assertThat(output[i]).as("element %d", i).isCloseTo((float) expected[i], within(2e-5f));
        }
    }

    @Test
    void eachSiteMayHaveACodecOfItsOwn() {
        AttentionShape two = AttentionShape.of(2, 4, 2, 32);
        VectorCodec q8 = VectorCodecs.of("q8_0", 32);
        VectorCodec q4 = VectorCodecs.of("q4_0", 32);
        VectorCodec three = VectorCodecs.of("rotated-3", 32);
        Map<Site, VectorCodec> codecs = Map.of(
                Site.of(0, VectorKind.KEY), q8,
                Site.of(0, VectorKind.VALUE), three,
                Site.of(1, VectorKind.KEY), q4,
                Site.of(1, VectorKind.VALUE), q8);
        CacheOptions options = options(16, 4);
        int tokens = 200;
        float[] queries = floats(tokens * 4 * 32, 1);
        float[] keys = floats(tokens * 2 * 32, 2);
        float[] values = floats(tokens * 2 * 32, 3);
        try (SparseCache cache = SparseCache.quantized(two, RotaryEmbedding.plain(32, 1e4), codecs, options)) {
            for (int layer = 0; layer < 2; layer++) {
                VectorCodec ofKeys = codecs.get(Site.of(layer, VectorKind.KEY));
                VectorCodec ofValues = codecs.get(Site.of(layer, VectorKind.VALUE));
                double[] expected = new DecodedAttention(two, options, ofKeys, ofValues)
                        .attend(layer, queries, keys, values, tokens);
                float[] output = new float[queries.length];
                attend(cache, layer, queries, keys, values, 0, tokens, output);
                for (int i = 0; i < output.length; i++) {
                    assertThat(output[i])
                            .as("layer %d, element %d", layer, i)
                            .isCloseTo((float) expected[i], within(2e-5f));
                }
            }
        }
        Map<Site, VectorCodec> fewer = Map.of(Site.of(0, VectorKind.KEY), q8, Site.of(0, VectorKind.VALUE), three);
        assertThatThrownBy(() -> SparseCache.quantized(two, RotaryEmbedding.plain(32, 1e4), fewer, options))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("layer.01.key");
    }

    @Test
    void theLastTokensOfASlidingWindowAreAllThatIsHeld() {
        AttentionShape sliding = new AttentionShape(1, 4, 2, 32, 0.2f, List.of(100));
        CacheOptions options = options(32, 0);
        VectorCodec codec = VectorCodecs.of("q8_0", 32);
        int tokens = 440;
        float[] queries = floats(tokens * 4 * 32, 1);
        float[] keys = floats(tokens * 2 * 32, 2);
        float[] values = floats(tokens * 2 * 32, 3);
        double[] expected = new DecodedAttention(sliding, options, codec).attend(0, queries, keys, values, tokens);
        float[] output = new float[queries.length];
        try (SparseCache cache = SparseCache.quantized(sliding, RotaryEmbedding.plain(32, 1e4), codec, options)) {
            for (int start = 0; start < tokens; start += 40) {
                attend(cache, queries, keys, values, start, 40, output);
            }
            // 440 tokens make six blocks, all read as such, of which the first five lie before what a query at 440
            // sees.
            assertThat(cache.bytes().codes()).isEqualTo(2L * (6 - 5) * 64 * 2 * codec.vectorBytes());
            assertThat(cache.bytes().keyIndices()).isZero();
            assertThat(cache.bytes().dictionaries()).isZero();
            assertThat(cache.bytes().perVector()).isEqualTo(2.0 * codec.vectorBytes());
        }
        for (int i = 0; i < output.length; i++) {
            assertThat(output[i]).isCloseTo((float) expected[i], within(2e-5f));
        }
    }

    @Test
    void aVectorThatIsNotFiniteIsRefused() {
        float[] keys = floats(64 * 2 * 32, 2);
        keys[7 * 2 * 32 + 40] = Float.POSITIVE_INFINITY;
        try (SparseCache cache = SparseCache.quantized(
                SHAPE, RotaryEmbedding.plain(32, 1e4), VectorCodecs.of("q8_0", 32), options(0, 0))) {
            float[] output = new float[64 * 4 * 32];
            assertThatThrownBy(() -> attend(cache, floats(64 * 4 * 32, 1), keys, floats(64 * 2 * 32, 3), 0, 64, output))
                    .isInstanceOf(NonFiniteVectorException.class)
                    .hasMessageContaining("layer.00.key")
                    .hasMessageContaining("15");
        }
    }

    @Test
    void optionsOutOfRangeAreRefused() {
        assertThatThrownBy(() -> SparseCache.quantized(
                        SHAPE, RotaryEmbedding.plain(32, 1e4), VectorCodecs.of("q8_0", 32), options(-1, 0)))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("--window");
    }

    @ParameterizedTest
    @CsvSource({"64, 4, 300, 0", "64, 0, 37, 0", "1, 4, 1, 0", "0, 4, 33, 0", "0, 0, 1, 0", "32, 0, 70, 100"})
    void transformCodedWithFineStepsReadsWhatTheModelComputed(int window, int sinks, int chunk, int sliding) {
        AttentionShape shape = new AttentionShape(1, 4, 2, 32, 0.2f, List.of(sliding));
        CacheOptions options = options(window, sinks);
        int tokens = 300;
        float[] queries = floats(tokens * 4 * 32, 1);
        float[] keys = floats(tokens * 2 * 32, 2);
        float[] values = floats(tokens * 2 * 32, 3);
        double[] expected = new DecodedAttention(shape, options, VectorCodecs.of("f16", 32))
                .attend(0, queries, keys, values, tokens);
        float[] output = new float[queries.length];
        Map<Site, TransformCodec> codecs =
                Map.of(Site.of(0, VectorKind.KEY), fine(keys), Site.of(0, VectorKind.VALUE), fine(values));
        try (SparseCache cache = SparseCache.transformed(shape, RotaryEmbedding.plain(32, 1e4), codecs, options)) {
            for (int start = 0; start < tokens; start += chunk) {
                attend(cache, queries, keys, values, start, Math.min(chunk, tokens - start), output);
            }
            assertThat(cache.length()).isEqualTo(tokens);
            assertThat(cache.bytes().codes()).isPositive();
            assertThat(cache.bytes().indices()).isZero();
        }
        for (int i = 0; i < output.length; i++) {
            assertThat(output[i]).as("element %d", i).isCloseTo((float) expected[i], within(2e-3f));
        }
    }

    private static TransformCodec fine(float[] vectors) {
        PrincipalAxes.Fit fit = new PrincipalAxes.Fit(32);
        fit.add(MemorySegment.ofArray(vectors), vectors.length / 32);
        return new TransformCodec(fit.axes(), 1e-4f);
    }

    private static CacheOptions options(int window, int sinks) {
        return CacheOptions.defaults().withWindow(window).withSinks(sinks).withThreads(2);
    }

    private static void attend(
            SparseCache cache, float[] queries, float[] keys, float[] values, int start, int count, float[] output) {
        attend(cache, 0, queries, keys, values, start, count, output);
    }

    private static void attend(
            SparseCache cache,
            int layer,
            float[] queries,
            float[] keys,
            float[] values,
            int start,
            int count,
            float[] output) {
        try (Arena arena = Arena.ofShared()) {
            MemorySegment out = arena.allocate((long) count * 4 * 32 * Float.BYTES, 64);
            cache.attend(
                    layer,
                    part(arena, queries, start * 4 * 32, count * 4 * 32),
                    part(arena, keys, start * 2 * 32, count * 2 * 32),
                    part(arena, values, start * 2 * 32, count * 2 * 32),
                    count,
                    out);
            MemorySegment.copy(out, JAVA_FLOAT, 0, output, start * 4 * 32, count * 4 * 32);
        }
    }

    private static MemorySegment part(Arena arena, float[] from, int first, int count) {
        MemorySegment segment = arena.allocate((long) count * Float.BYTES, 64);
        MemorySegment.copy(from, first, segment, JAVA_FLOAT, 0, count);
        return segment;
    }

    private static float[] floats(int count, long seed) {
        Random random = new Random(seed);
        float[] floats = new float[count];
        for (int i = 0; i < count; i++) {
            floats[i] = (float) random.nextGaussian();
        }
        return floats;
    }
}
