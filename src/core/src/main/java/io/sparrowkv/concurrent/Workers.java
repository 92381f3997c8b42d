package io.sparrowkv.concurrent;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/**
 * A fixed team of threads that runs one indexed job at a time and allocates nothing per job. The calling thread works too, as
 * worker 0, so a team of one has no threads of its own.
 */
public final class Workers implements AutoCloseable {
    /** Body of a job. */
    @FunctionalInterface
    public interface Task {
        /**
         * Does one piece.
         *
         * @param index the piece, from 0
         * @param worker who runs it, from 0 to {@link Workers#threads()} − 1: the index of its scratch memory
         */
        void run(int index, int worker);
    }

    /** Time a worker looks for the next job before it parks; a parked one takes about 50 µs to come back. */
    private static final long SPIN_NANOS = 20_000;

    private final Thread[] threads;
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicInteger pending = new AtomicInteger();
    private volatile int generation;
    private volatile boolean closed;
    private volatile Throwable failure;
    private volatile Thread caller;
    private Task task;
    private int count;

    private Workers(String name, int workers) {
        threads = new Thread[workers - 1];
        for (int i = 0; i < threads.length; i++) {
            int worker = i + 1;
            threads[i] = Thread.ofPlatform().daemon().name(name + "-" + worker).unstarted(() -> serve(worker));
        }
        for (Thread thread : threads) {
            thread.start();
        }
    }

    /** Starts a team of {@code workers}, the caller included. */
    public static Workers start(String name, int workers) {
        if (workers < 1) {
            throw new IllegalArgumentException("workers " + workers);
        }
        return new Workers(name, workers);
    }

    /** Size of the team, the caller included. */
    public int threads() {
        return threads.length + 1;
    }

    /**
     * Runs {@code body} for each index in {@code [0, count)} and returns when all are done. One job runs at a time; a second caller
     * waits. The first exception thrown by a piece is rethrown here, after the others have ended.
     */
    public synchronized void forEach(int count, Task body) {
        if (closed) {
            throw new IllegalStateException("the workers are closed");
        }
        if (threads.length == 0 || count <= 1) {
            for (int i = 0; i < count; i++) {
                body.run(i, 0);
            }
            return;
        }
        this.task = body;
        this.count = count;
        failure = null;
        next.set(0);
        pending.set(threads.length);
        caller = Thread.currentThread();
        generation++; // guarded by the monitor; the volatile write publishes task and count
        for (Thread thread : threads) {
            LockSupport.unpark(thread);
        }
        work(0);
        long parkAt = System.nanoTime() + SPIN_NANOS;
        while (pending.get() > 0) {
            if (System.nanoTime() < parkAt) {
                Thread.onSpinWait();
            } else {
                LockSupport.park(this);
            }
        }
        caller = null;
        task = null;
        Throwable thrown = failure;
        if (thrown instanceof RuntimeException e) {
            throw e;
        }
        if (thrown instanceof Error e) {
            throw e;
        }
    }

    @Override
    public synchronized void close() {
        closed = true;
        for (Thread thread : threads) {
            LockSupport.unpark(thread);
        }
    }

    private void serve(int worker) {
        int seen = 0;
        while (true) {
            long parkAt = System.nanoTime() + SPIN_NANOS;
            while (generation == seen) {
                if (closed) {
                    return;
                }
                if (System.nanoTime() < parkAt) {
                    Thread.onSpinWait();
                } else {
                    LockSupport.park(this);
                }
            }
            seen = generation;
            work(worker);
            Thread waiting = caller; // read before the count: the caller may leave as soon as it is zero
            if (pending.decrementAndGet() == 0) {
                LockSupport.unpark(waiting);
            }
        }
    }

    private void work(int worker) {
        try {
            for (int i = next.getAndIncrement(); i < count; i = next.getAndIncrement()) {
                task.run(i, worker);
            }
        } catch (Throwable t) {
            failure = t;
            next.set(count);
        }
    }
}
