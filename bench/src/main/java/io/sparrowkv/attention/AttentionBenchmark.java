package io.sparrowkv.attention;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.bench.TorchArrays;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.store.ArrowBlockStore;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * One layer's attention of Mistral-7B's shape over a filled cache, sparse beside libtorch's dense matmul, softmax, matmul in the same
 * run. Each iteration starts from a cache filled to the context, since every call makes it longer; libtorch's stays as it is, which
 * spares it the appending and the causal mask.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 5, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 5, time = 300, timeUnit = TimeUnit.MILLISECONDS)
@Fork(1)
public class AttentionBenchmark {
    private static final int HEADS = 32;
    private static final int KV_HEADS = 8;
    private static final int D_HEAD = 128;
    private static final int LATENTS = 4096;
    private static final int FILL_CHUNK = 512;
    private static final long STORE_LIMIT = 1L << 30;

    /** A chunk's queries, keys and values. */
    @State(Scope.Benchmark)
    public static class Chunk {
        @Param({"4096", "16384"})
        int context;

        /** 1 is what generating a token does. */
        @Param({"1", "256"})
        int chunk;

        @Param("2")
        int threads;

        Arena arena;
        MemorySegment queries;
        MemorySegment keys;
        MemorySegment values;
        MemorySegment output;

        @Setup
        public void open() {
            arena = Arena.ofShared();
            int tokens = Math.max(chunk, FILL_CHUNK);
            queries = RandomDictionaries.vectors(arena, tokens * HEADS, D_HEAD, 1);
            keys = RandomDictionaries.vectors(arena, tokens * KV_HEADS, D_HEAD, 2);
            values = RandomDictionaries.vectors(arena, tokens * KV_HEADS, D_HEAD, 3);
            output = arena.allocate(queries.byteSize(), 64);
        }

        @TearDown
        public void close() {
            arena.close();
        }
    }

    /** The sparse cache under test. */
    @State(Scope.Benchmark)
    public static class Sparse {
        @Param({"POST", "PRE"})
        RopeStage rope;

        @Param("8")
        int budgetKey;

        @Param("16")
        int budgetValue;

        EncoderBackend encoders;
        DictionarySet dictionaries;
        ArrowBlockStore store;
        SparseCache cache;

        @Setup
        public void open(Chunk chunk) {
            encoders = Encoders.start(Encoders.AUTO, chunk.threads);
            dictionaries = RandomDictionaries.set(1, 0, rope, D_HEAD, LATENTS, LATENTS, 4);
            store = new ArrowBlockStore(STORE_LIMIT);
        }

        @Setup(Level.Iteration)
        public void fill(Chunk chunk) {
            cache = new SparseCache(
                    AttentionShape.of(1, HEADS, KV_HEADS, D_HEAD),
                    RotaryEmbedding.plain(D_HEAD, 10_000),
                    dictionaries,
                    encoders,
                    store,
                    CacheOptions.defaults()
                            .withBudgets(Budgets.of(budgetKey, budgetValue))
                            .withThreads(chunk.threads));
            while (cache.length() < chunk.context) {
                int tokens = Math.min(FILL_CHUNK, chunk.context - cache.length());
                cache.attend(0, chunk.queries, chunk.keys, chunk.values, tokens, chunk.output);
            }
        }

        @TearDown(Level.Iteration)
        public void empty() {
            cache.close();
        }

        @TearDown
        public void close() {
            store.close();
            dictionaries.close();
            encoders.close();
        }
    }

    /** Dense keys and values for libtorch, each head's together. */
    @State(Scope.Benchmark)
    public static class Libtorch {
        TorchArrays arrays;
        NDArray queries;
        NDArray keys;
        NDArray values;

        @Setup
        public void open(Chunk chunk) {
            arrays = new TorchArrays(chunk.threads);
            try (Arena arena = Arena.ofConfined()) {
                queries = random(arena, chunk.chunk * HEADS / KV_HEADS, 5).muli(1 / Math.sqrt(D_HEAD));
                keys = random(arena, chunk.context, 6).transpose(0, 2, 1);
                values = random(arena, chunk.context, 7);
            }
        }

        private NDArray random(Arena arena, int rows, long seed) {
            return arrays.copy(
                    RandomDictionaries.vectors(arena, KV_HEADS * rows, D_HEAD, seed), KV_HEADS, rows, D_HEAD);
        }

        @TearDown
        public void close() {
            arrays.close();
        }
    }

    @Benchmark
    public MemorySegment sparse(Chunk chunk, Sparse sparse) {
        sparse.cache.attend(0, chunk.queries, chunk.keys, chunk.values, chunk.chunk, chunk.output);
        return chunk.output;
    }

    @Benchmark
    public float libtorch(Chunk chunk, Libtorch torch) {
        try (NDManager scope = torch.arrays.newScope()) {
            NDArray queries = torch.queries.duplicate();
            queries.attach(scope);
            NDArray output = queries.matMul(torch.keys).softmax(-1).matMul(torch.values);
            return output.getFloat(0, 0, 0);
        }
    }
}
