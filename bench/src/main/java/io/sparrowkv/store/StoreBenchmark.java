package io.sparrowkv.store;

import io.sparrowkv.io.FolderTree;
import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.RandomBlocks;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The two calls that a store on disk must be fast at, when it is full and warm, for blocks of Mistral-7B's shape: 32 layers, 8 KV heads
 * of 128, budgets 8/16. Read {@code bytes}, code bytes put a second, and {@code blocks}, blocks viewed a second. The times of whole
 * stores (filling a new one, opening, attention over it, first tokens) are {@code sparrow bench store}'s.
 */
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public class StoreBenchmark {
    private static final int LAYERS = 32;
    private static final int KV_HEADS = 8;
    private static final long CAPACITY = 512L << 20;

    /** Blocks of tokens that are put in turn: twice as many as the store has room for, so that each makes an older one go. */
    private static final int PUT = 600;

    /** Blocks of tokens that are viewed in turn: all are there. */
    private static final int VIEWED = 100;

    /** Counted by the benchmarks, reported as rates. */
    @AuxCounters
    @State(Scope.Thread)
    public static class Count {
        public long bytes;
        public long blocks;
    }

    /** A store in a folder for temporary files. */
    @State(Scope.Benchmark)
    public static class Store {
        private Path folder;
        private ChronicleBlockStore store;
        private RandomBlocks blocks;
        private int next;

        @Setup(Level.Trial)
        public void create() throws IOException {
            folder = Files.createTempDirectory("sparrow-store-benchmark");
            store = ChronicleBlockStore.create(
                    folder.resolve("store"), RandomBlocks.profile(LAYERS, KV_HEADS), CAPACITY, Sync.CLOSE);
            blocks = new RandomBlocks(store);
            for (int tokens = 0; tokens < VIEWED; tokens++) {
                blocks.put(tokens);
            }
        }

        @TearDown(Level.Trial)
        public void remove() throws IOException {
            blocks.close();
            store.close();
            FolderTree.delete(folder);
        }
    }

    /** Puts the blocks of 64 tokens that are not there, checksums included; the oldest are evicted for them. */
    @Benchmark
    public void put(Store state, Count count) {
        count.bytes += state.blocks.put(state.next++ % PUT);
    }

    /** Leases the blocks of 64 tokens together and gives them back. */
    @Benchmark
    public void view(Store state, Count count) {
        count.blocks += state.blocks.view(state.next++ % VIEWED);
    }
}
