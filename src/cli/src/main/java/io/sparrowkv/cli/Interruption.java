package io.sparrowkv.cli;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Lets a long job end in good order on Ctrl-C: the job asks {@link #requested} between its pieces, and the process waits until it
 * has closed this. The JVM then exits with the signal's own code, 130.
 */
final class Interruption implements AutoCloseable {
    /** A checkpoint of a large dictionary set is written well within this. */
    private static final long GRACE_SECONDS = 60;

    private final CountDownLatch ended = new CountDownLatch(1);
    private final Thread hook = new Thread(this::waitForJob, "interruption");
    private volatile boolean requested;

    private Interruption() {}

    /** Starts to watch for the end of the process; close it when the job has ended, however it did. */
    static Interruption watch() {
        Interruption interruption = new Interruption();
        Runtime.getRuntime().addShutdownHook(interruption.hook);
        return interruption;
    }

    /** Whether the job is to end now. */
    boolean requested() {
        return requested;
    }

    @Override
    public void close() {
        ended.countDown();
        if (!requested) {
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // The signal came just now: the hook finds the latch open.
            }
        }
    }

    private void waitForJob() {
        requested = true;
        try {
            ended.await(GRACE_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
