package io.sparrowkv.tornado;

import java.util.concurrent.locks.LockSupport;

/**
 * The one thread that talks to the device for a plan. TornadoVM makes a command queue for each thread that ever runs a plan, and keeps
 * it, so plans are not run by whichever thread comes along. One job at a time; nothing is allocated for a job.
 */
final class DeviceThread implements AutoCloseable {
    private final Thread thread;
    private volatile Runnable job;
    private volatile Thread waiting;
    private volatile boolean closed;
    private Throwable failure;

    DeviceThread(String name) {
        thread = Thread.ofPlatform().daemon().name(name).start(this::serve);
    }

    /** Hands a job over and returns at once; {@link #join} must follow before the next. */
    void start(Runnable next) {
        failure = null;
        waiting = Thread.currentThread();
        job = next; // publishes the fields before it
        LockSupport.unpark(thread);
    }

    /** Waits for the job's end and returns what it threw, or null. */
    Throwable join() {
        while (job != null) {
            LockSupport.park(this);
        }
        return failure;
    }

    /** Waits for the job's end, but at most {@code nanos}; true when it has ended, and {@link #join} returns at once. */
    boolean ended(long nanos) {
        long start = System.nanoTime();
        while (job != null) {
            long left = nanos - (System.nanoTime() - start);
            if (left <= 0) {
                return false;
            }
            LockSupport.parkNanos(this, left);
        }
        return true;
    }

    /** Runs a job there and waits for it. */
    void run(Runnable next) {
        start(next);
        rethrow(join());
    }

    /** Throws what a job threw; does nothing with null. */
    static void rethrow(Throwable thrown) {
        if (thrown instanceof RuntimeException e) {
            throw e;
        }
        if (thrown instanceof Error e) {
            throw e;
        }
    }

    /** Ends the thread, which must be idle. */
    @Override
    public void close() {
        closed = true;
        LockSupport.unpark(thread);
    }

    private void serve() {
        while (true) {
            Runnable next = job;
            if (next != null) {
                try {
                    next.run();
                } catch (Throwable t) {
                    failure = t;
                }
                Thread caller = waiting; // read before the job is given back: the next one may set it anew
                job = null;
                LockSupport.unpark(caller);
            } else if (closed) {
                return;
            } else {
                LockSupport.park(this);
            }
        }
    }
}
