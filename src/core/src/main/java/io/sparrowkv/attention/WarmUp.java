package io.sparrowkv.attention;

import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderProvider;
import io.sparrowkv.encode.VectorEncoderProvider;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.store.ArrowBlockStore;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;

/**
 * Has the JIT compile encoder and attention while something else is waited for, such as a model's weights: on a thread of its own, a
 * made-up sequence of the model's shape is read and continued again and again, until this is closed.
 *
 * <p>The Vector API's kernels are slower by orders of magnitude until the JIT's last stage has compiled them, and its compiling them
 * takes seconds of one core: without this, they are most of the time to a fresh process's first token.
 */
public final class WarmUp implements AutoCloseable {
    private static final int LATENTS = 512;
    private static final int WINDOW = 64;
    private static final double ROPE_THETA = 10_000;
    private static final long SEED = 1;

    /** Tokens of a chunk: with those before it, enough for codes to be made and read. */
    private static final int CHUNK = 160;

    private static final int CHUNKS = 2;

    /** Tokens that follow one by one. */
    private static final int SINGLES = 8;

    private final AttentionShape shape;
    private final Thread thread;
    private volatile boolean ended;

    private WarmUp(AttentionShape shape) {
        this.shape = AttentionShape.of(1, shape.heads(), shape.kvHeads(), shape.dHead());
        thread = Thread.ofPlatform().daemon().name("sparrow-warm-up").unstarted(this::run);
    }

    /** Starts it for a model's shape. */
    public static WarmUp start(AttentionShape shape) {
        WarmUp warmUp = new WarmUp(shape);
        warmUp.thread.start();
        return warmUp;
    }

    private void run() {
        EncoderProvider provider = new VectorEncoderProvider();
        if (provider.unavailable().isPresent()) {
            return;
        }
        CacheOptions options = CacheOptions.defaults().withWindow(WINDOW).withThreads(1);
        RotaryEmbedding rotary = RotaryEmbedding.plain(shape.dHead(), ROPE_THETA);
        try (Arena arena = Arena.ofShared();
                EncoderBackend encoders = provider.start(1);
                DictionarySet dictionaries =
                        RandomDictionaries.set(1, 0, RopeStage.PRE, shape.dHead(), LATENTS, LATENTS, SEED);
                ArrowBlockStore store = new ArrowBlockStore(Long.MAX_VALUE)) {
            MemorySegment queries = RandomDictionaries.vectors(arena, CHUNK * shape.heads(), shape.dHead(), SEED);
            MemorySegment keys = RandomDictionaries.vectors(arena, CHUNK * shape.kvHeads(), shape.dHead(), SEED);
            MemorySegment output = arena.allocate(queries.byteSize(), Lanes.BYTES);
            while (!ended) {
                try (SparseCache cache = new SparseCache(shape, rotary, dictionaries, encoders, store, options)) {
                    for (int i = 0; i < CHUNKS && !ended; i++) {
                        cache.attend(0, queries, keys, keys, CHUNK, output);
                    }
                    for (int i = 0; i < SINGLES && !ended; i++) {
                        cache.attend(0, queries, keys, keys, 1, output);
                    }
                }
            }
        }
    }

    /** Waits for its thread to end; returns whether it has. */
    boolean join(Duration most) throws InterruptedException {
        return thread.join(most);
    }

    /** Ends it, after the call in progress. */
    @Override
    public void close() {
        ended = true;
    }
}
