package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.codec.PrincipalAxes;
import io.sparrowkv.codec.TransformCodec;
import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TransformedCacheTest {
    private static final int D_HEAD = 32;
    private static final int TOKENS = 300;

    @ParameterizedTest
    @CsvSource({"64, 4, 300, 0", "64, 0, 37, 0", "1, 4, 1, 0", "0, 4, 33, 0", "0, 0, 1, 0", "32, 0, 70, 100"})
    void withFineStepsReadsWhatTheModelComputed(int window, int sinks, int chunk, int sliding) {
        AttentionShape shape = new AttentionShape(1, 4, 2, D_HEAD, 0.2f, List.of(sliding));
        CacheOptions options =
                CacheOptions.defaults().withWindow(window).withSinks(sinks).withThreads(2);
        float[] queries = floats(TOKENS * 4 * D_HEAD, 1);
        float[] keys = floats(TOKENS * 2 * D_HEAD, 2);
        float[] values = floats(TOKENS * 2 * D_HEAD, 3);
        double[] expected = new DecodedAttention(shape, options, VectorCodecs.of("f16", D_HEAD))
                .attend(0, queries, keys, values, TOKENS);
        float[] output = new float[queries.length];
        Map<Site, TransformCodec> codecs =
                Map.of(Site.of(0, VectorKind.KEY), codec(keys), Site.of(0, VectorKind.VALUE), codec(values));
        try (SparseCache cache = SparseCache.transformed(shape, RotaryEmbedding.plain(D_HEAD, 1e4), codecs, options)) {
            for (int start = 0; start < TOKENS; start += chunk) {
                attend(cache, queries, keys, values, start, Math.min(chunk, TOKENS - start), output);
            }
            assertThat(cache.length()).isEqualTo(TOKENS);
            assertThat(cache.bytes().codes()).isPositive();
            assertThat(cache.bytes().indices()).isZero();
        }
        for (int i = 0; i < output.length; i++) {
            assertThat(output[i]).as("element %d", i).isCloseTo((float) expected[i], within(2e-3f));
        }
    }

    private static TransformCodec codec(float[] vectors) {
        PrincipalAxes.Fit fit = new PrincipalAxes.Fit(D_HEAD);
        fit.add(MemorySegment.ofArray(vectors), vectors.length / D_HEAD);
        return new TransformCodec(fit.axes(), 1e-4f);
    }

    private static void attend(
            SparseCache cache, float[] queries, float[] keys, float[] values, int start, int count, float[] output) {
        try (Arena arena = Arena.ofShared()) {
            MemorySegment out = arena.allocate((long) count * 4 * D_HEAD * Float.BYTES, 4);
            cache.attend(
                    0,
                    part(arena, queries, start * 4 * D_HEAD, count * 4 * D_HEAD),
                    part(arena, keys, start * 2 * D_HEAD, count * 2 * D_HEAD),
                    part(arena, values, start * 2 * D_HEAD, count * 2 * D_HEAD),
                    count,
                    out);
            MemorySegment.copy(out, JAVA_FLOAT, 0, output, start * 4 * D_HEAD, count * 4 * D_HEAD);
        }
    }

    private static MemorySegment part(Arena arena, float[] all, int from, int count) {
        MemorySegment segment = arena.allocate((long) count * Float.BYTES, 4);
        MemorySegment.copy(all, from, segment, JAVA_FLOAT, 0, count);
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
