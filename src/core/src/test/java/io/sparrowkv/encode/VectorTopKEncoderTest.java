package io.sparrowkv.encode;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class VectorTopKEncoderTest {
    private static final int ROWS = 128;
    private static final int BUDGET = 16;

    static List<ProductTile> tiles() {
        return List.of(new Tile6x4(), new Tile4x2());
    }

    /** Both add the dimensions in one order with fused multiply-adds. */
    @ParameterizedTest
    @MethodSource("tiles")
    void agreesWithTheOracleToTheLastBit(ProductTile tile) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = dictionary(700);
                EncoderBackend backend = new VectorBackend(2, tile);
                TopKEncoder vector = backend.open(dictionary);
                TopKEncoder scalar = new ScalarTopKEncoder(dictionary);
                CodeBatch codes = CodeBatch.allocate(ROWS, BUDGET);
                CodeBatch expected = CodeBatch.allocate(ROWS, BUDGET)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, ROWS, dictionary.dHead(), 2);
            vector.encode(vectors, ROWS, BUDGET, codes);
            scalar.encode(vectors, ROWS, BUDGET, expected);
            assertThat(codes.indices().mismatch(expected.indices())).isEqualTo(-1);
            assertThat(codes.coefficients().mismatch(expected.coefficients())).isEqualTo(-1);
            assertThat(codes.counts().mismatch(expected.counts())).isEqualTo(-1);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 16, 63, 64, 200, 700})
    void codesWithoutAnOrderHoldTheSamePairs(int budget) {
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = dictionary(700);
                EncoderBackend backend = new VectorBackend(2, ProductTile.preferred());
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(ROWS, budget);
                CodeBatch expected = CodeBatch.allocate(ROWS, budget)) {
            // Every value twice: a budget that parts two equal ones has the lower index.
            long half = 350L * dictionary.dHead() * Float.BYTES;
            MemorySegment.copy(dictionary.encoderWeights(), 0, dictionary.encoderWeights(), half, half);
            MemorySegment.copy(dictionary.encoderBias(), 0, dictionary.encoderBias(), 350 * 4L, 350 * 4L);
            encoder.reload();
            MemorySegment vectors = RandomDictionaries.vectors(arena, ROWS, dictionary.dHead(), 2);
            encoder.encode(vectors, ROWS, budget, expected);
            encoder.encodeUnordered(vectors, ROWS, budget, codes);
            for (int row = 0; row < ROWS; row++) {
                assertThat(pairs(codes, row)).isEqualTo(pairs(expected, row));
                for (int pair = codes.count(row); pair < budget; pair++) {
                    assertThat(codes.index(row, pair)).isZero();
                    assertThat(codes.coefficient(row, pair)).isZero();
                }
            }
        }
    }

    private static SortedMap<Integer, Float> pairs(CodeBatch codes, int row) {
        SortedMap<Integer, Float> pairs = new TreeMap<>();
        for (int pair = 0; pair < codes.count(row); pair++) {
            assertThat(pairs.put(codes.index(row, pair), codes.coefficient(row, pair)))
                    .isNull();
        }
        return pairs;
    }

    @Test
    void nothingIsAllocatedOnceCompiled() {
        ThreadMXBean allocation = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = dictionary(1024);
                EncoderBackend backend = new VectorBackend(2, ProductTile.preferred());
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(ROWS, BUDGET)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, ROWS, dictionary.dHead(), 2);
            long[] threads = Thread.getAllStackTraces().keySet().stream()
                    .filter(thread ->
                            thread == Thread.currentThread() || thread.getName().startsWith("encode-"))
                    .mapToLong(Thread::threadId)
                    .toArray();
            // Interpreted vector code boxes each vector: allocation ends when the last hot method is compiled.
            int calls = 50;
            long perCall = Long.MAX_VALUE;
            for (int attempt = 0; attempt < 100 && perCall > 100; attempt++) {
                long before = sum(allocation.getThreadAllocatedBytes(threads));
                for (int i = 0; i < calls; i++) {
                    encoder.encode(vectors, ROWS, BUDGET, codes);
                    encoder.reload();
                }
                perCall = (sum(allocation.getThreadAllocatedBytes(threads)) - before) / calls;
            }
            assertThat(threads.length).isGreaterThanOrEqualTo(2);
            assertThat(perCall).as("bytes a call").isLessThanOrEqualTo(100); // the measurement's own
        }
    }

    private static long sum(long[] values) {
        long sum = 0;
        for (long value : values) {
            sum += value;
        }
        return sum;
    }

    private static Dictionary dictionary(int latents) {
        return RandomDictionaries.dictionary(Site.of(0, VectorKind.VALUE), RopeStage.PRE, 128, latents, 1);
    }
}
