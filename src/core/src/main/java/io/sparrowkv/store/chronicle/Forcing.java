package io.sparrowkv.store.chronicle;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Forces a store's files to disk when its {@link Sync} says so. */
final class Forcing {
    private static final Logger LOG = LoggerFactory.getLogger(Forcing.class);
    private static final long INTERVAL_MILLIS = 1000;

    private final Path folder;
    private final MapFiles files;
    private final Sync sync;
    private final CountDownLatch ending = new CountDownLatch(1);
    private final Thread thread;

    Forcing(Path folder, MapFiles files, Sync sync) {
        this.folder = folder;
        this.files = files;
        this.sync = sync;
        thread = Thread.ofPlatform().daemon().name("sparrow-store-sync").unstarted(this::forceAtIntervals);
        if (sync == Sync.INTERVAL) {
            thread.start();
        }
    }

    /** Forces what was just put, if it must be. */
    void afterPut() {
        if (sync == Sync.ALWAYS) {
            try {
                files.force();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /** Ends the thread, and forces all that was put. */
    void end() throws IOException, InterruptedException {
        ending.countDown();
        thread.join();
        files.force();
    }

    private void forceAtIntervals() {
        try {
            // Not an interrupt: that would close the files' channels.
            while (!ending.await(INTERVAL_MILLIS, TimeUnit.MILLISECONDS)) {
                files.force();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (IOException e) {
            LOG.warn("{}: cannot be forced to disk ({})", folder, e.getMessage());
        }
    }
}
