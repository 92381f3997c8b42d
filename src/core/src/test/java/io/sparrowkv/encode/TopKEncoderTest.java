package io.sparrowkv.encode;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Test;

/** The encoders on the CPU: the oracle, and each tile of the vector encoder. */
class TopKEncoderTest extends TopKEncoderContract {
    private static final List<IntFunction<EncoderBackend>> BACKENDS = List.of(
            new ScalarEncoderProvider()::start,
            threads -> new VectorBackend(threads, new Tile6x4()),
            threads -> new VectorBackend(threads, new Tile4x2()));

    @Override
    protected List<EncoderBackend> start() {
        return BACKENDS.stream().map(start -> start.apply(2)).toList();
    }

    @Test
    void codesDoNotDependOnTheNumberOfThreads() {
        int rows = 200;
        int budget = 16;
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = random(64, 500, 5);
                CodeBatch one = CodeBatch.allocate(rows, budget);
                CodeBatch other = CodeBatch.allocate(rows, budget)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, rows, 64, 6);
            for (IntFunction<EncoderBackend> start : BACKENDS) {
                try (EncoderBackend backend = start.apply(1)) {
                    encode(backend, dictionary, vectors, rows, budget, one);
                }
                for (int threads : new int[] {2, 3, 7}) {
                    try (EncoderBackend backend = start.apply(threads)) {
                        encode(backend, dictionary, vectors, rows, budget, other);
                    }
                    assertPrefix(one, 0, other);
                }
            }
        }
    }
}
