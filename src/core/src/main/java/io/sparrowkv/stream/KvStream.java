package io.sparrowkv.stream;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;

/**
 * Encodes vectors in the background, or hands them on as they are, in the order of their submission, behind a bounded queue: {@link #acquire} waits while all
 * batches are under way, so that the submitter can never be more than the queue ahead of the encoder.
 *
 * <p>Batches are allocated once, off-heap. A failure of the encoder or of a target ends the encoding; every later call throws it
 * again, as it was. One thread submits.
 */
public final class KvStream implements AutoCloseable {
    private final Function<Dictionary, TopKEncoder> open;
    private final int kvHeads;
    private final int dHead;
    private final int batchTokens;
    private final Arena arena = Arena.ofShared();
    private final CodeBatch codes;
    private final CodeBatch headCodes;
    private final MemorySegment headVectors;
    private final Map<Dictionary, TopKEncoder> encoders = new IdentityHashMap<>();
    private final Thread thread;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Deque<VectorBatch> free = new ArrayDeque<>();
    private final Deque<VectorBatch> waiting = new ArrayDeque<>();
    private Throwable failure;
    private boolean closed;

    /**
     * Starts the background thread.
     *
     * @param open opens the encoder of a dictionary, at its first batch; without code targets never asked
     * @param maxBudget largest budget of any target
     * @param batchTokens most tokens of a batch
     * @param batches batches that may be under way at a time
     */
    public KvStream(
            Function<Dictionary, TopKEncoder> open,
            int kvHeads,
            int dHead,
            int maxBudget,
            int batchTokens,
            int batches) {
        this.open = open;
        this.kvHeads = kvHeads;
        this.dHead = dHead;
        this.batchTokens = batchTokens;
        codes = CodeBatch.allocate(batchTokens * kvHeads, maxBudget);
        headCodes = CodeBatch.allocate(batchTokens, maxBudget);
        long vectorBytes = (long) dHead * Float.BYTES;
        headVectors = arena.allocate(batchTokens * vectorBytes, 64);
        for (int i = 0; i < batches; i++) {
            free.add(new VectorBatch(arena.allocate(batchTokens * kvHeads * vectorBytes, 64)));
        }
        thread = Thread.ofPlatform().daemon().name("sparrow-encode").start(this::serve);
    }

    /** Most tokens of a batch. */
    public int batchTokens() {
        return batchTokens;
    }

    /** Takes a batch to fill and submit; waits while all are under way. */
    public VectorBatch acquire() {
        lock.lock();
        try {
            while (free.isEmpty()) {
                requireRunning();
                changed.awaitUninterruptibly();
            }
            requireRunning();
            return free.poll();
        } finally {
            lock.unlock();
        }
    }

    /** Hands over a filled batch; returns at once. */
    public void submit(VectorBatch batch, BatchTarget target, int firstToken, int tokens) {
        if (tokens < 1 || tokens > batchTokens) {
            throw new IllegalArgumentException(tokens + " tokens in a batch of " + batchTokens);
        }
        lock.lock();
        try {
            requireRunning();
            batch.target = target;
            batch.firstToken = firstToken;
            batch.tokens = tokens;
            waiting.add(batch);
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Waits until {@code target} has accepted {@code tokens} tokens. */
    public void await(BatchTarget target, int tokens) {
        lock.lock();
        try {
            requireRunning();
            while (target.tokens() < tokens) {
                changed.awaitUninterruptibly();
                requireRunning();
            }
        } finally {
            lock.unlock();
        }
    }

    /** Throws the failure of the background thread, if there is one. */
    public void check() {
        lock.lock();
        try {
            requireRunning();
        } finally {
            lock.unlock();
        }
    }

    /** Ends the encoding after the batch at hand, abandons those that wait, and frees everything. */
    @Override
    public void close() {
        lock.lock();
        try {
            if (closed) {
                return;
            }
            closed = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true; // the memory below must outlive the thread
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        encoders.values().forEach(TopKEncoder::close);
        codes.close();
        headCodes.close();
        arena.close();
    }

    private void requireRunning() {
        if (failure instanceof RuntimeException e) {
            throw e;
        }
        if (failure instanceof Error e) {
            throw e;
        }
        if (closed) {
            throw new IllegalStateException("the stream is closed");
        }
    }

    private void serve() {
        try {
            for (VectorBatch batch = next(null); batch != null; batch = next(batch)) {
                if (batch.target instanceof CodeTarget target) {
                    encode(batch, target);
                    target.accept(codes, batch.vectors(), batch.firstToken, batch.tokens);
                } else if (batch.target instanceof VectorTarget target) {
                    target.accept(batch.vectors(), batch.firstToken, batch.tokens);
                }
            }
        } catch (Throwable t) {
            lock.lock();
            try {
                failure = t;
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        }
    }

    private VectorBatch next(VectorBatch done) {
        lock.lock();
        try {
            if (done != null) {
                free.add(done);
                changed.signalAll();
            }
            while (waiting.isEmpty() && !closed) {
                changed.awaitUninterruptibly();
            }
            return closed ? null : waiting.poll();
        } finally {
            lock.unlock();
        }
    }

    private void encode(VectorBatch batch, CodeTarget target) {
        List<Dictionary> dictionaries = target.dictionaries();
        int budget = target.budget();
        if (dictionaries.size() == 1) {
            encoder(dictionaries.getFirst())
                    .encode(batch.vectors(), batch.tokens * target.codesOfToken(), budget, codes);
            return;
        }
        codes.shape(batch.tokens * kvHeads, budget);
        for (int head = 0; head < kvHeads; head++) {
            gather(batch, head);
            encoder(dictionaries.get(head)).encode(headVectors, batch.tokens, budget, headCodes);
            scatter(batch.tokens, head, budget);
        }
    }

    private TopKEncoder encoder(Dictionary dictionary) {
        return encoders.computeIfAbsent(dictionary, open);
    }

    private void gather(VectorBatch batch, int head) {
        long vector = (long) dHead * Float.BYTES;
        for (int token = 0; token < batch.tokens; token++) {
            long from = ((long) token * kvHeads + head) * vector;
            MemorySegment.copy(batch.vectors(), from, headVectors, token * vector, vector);
        }
    }

    private void scatter(int tokens, int head, int budget) {
        long code = (long) budget * JAVA_FLOAT.byteSize(); // an index has the same width
        for (int token = 0; token < tokens; token++) {
            long to = ((long) token * kvHeads + head) * code;
            MemorySegment.copy(headCodes.indices(), token * code, codes.indices(), to, code);
            MemorySegment.copy(headCodes.coefficients(), token * code, codes.coefficients(), to, code);
        }
    }
}
