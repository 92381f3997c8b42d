package io.sparrowkv.store.chronicle;

import io.sparrowkv.io.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Who has a store open: the locks on the file {@value #NAME}, whose contents are the {@link ShutdownMark}.
 *
 * <p>Locks are byte ranges locked by the operating system, which lets go of them when their process dies, however it dies; so no
 * lock is ever stale. The ranges lie past the file's contents: one is held while opening and closing, one is shared by all who have
 * the store open, one is held while evicting, and one for each prefix that is in use.
 */
final class OwnerFile implements AutoCloseable {
    static final String NAME = "owner";

    private static final long DOOR = 1L << 40;
    private static final long OPEN = DOOR + 1;
    private static final long EVICTION = DOOR + 2;
    private static final long PREFIXES = 1L << 62;

    private static final long WAIT_NANOS = 30_000_000_000L;
    private static final long RETRY_MILLIS = 20;

    /** Closing any channel of a file ends all of a process's locks on it (fcntl), so a process must open it only once. */
    private static final Set<Path> OPEN_HERE = ConcurrentHashMap.newKeySet();

    private final Path path;
    private final FileChannel channel;
    private final Map<Long, Pin> pins = new HashMap<>();
    private FileLock door;
    private FileLock open;
    private ShutdownMark mark;

    private static final class Pin {
        FileLock lock;
        int holders;
    }

    private OwnerFile(Path path, FileChannel channel) throws IOException {
        this.path = path;
        this.channel = channel;
        lockDoor();
        mark = ShutdownMark.read(channel);
    }

    /**
     * Opens the file, making it where it is missing, and locks the door: the caller opens its files and then calls {@link #enter}.
     *
     * @throws InvalidInputException when this process has the store open, or another keeps the door locked
     */
    static OwnerFile open(Path folder) throws IOException {
        Path path = folder.toRealPath().resolve(NAME);
        if (!OPEN_HERE.add(path)) {
            throw new InvalidInputException(folder + ": the store is open in this process already; use that one");
        }
        FileChannel channel = null;
        try {
            channel = FileChannel.open(
                    path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
            return new OwnerFile(path, channel);
        } catch (IOException | RuntimeException e) {
            if (channel != null) {
                channel.close();
            }
            OPEN_HERE.remove(path);
            throw e;
        }
    }

    /** Whether no other process has the store open; holds at least until the door is opened. */
    synchronized boolean alone() throws IOException {
        if (open != null) {
            open.release();
        }
        open = channel.tryLock(OPEN, 1, false);
        return open != null;
    }

    /** What was said of the store when this process last looked or wrote. */
    synchronized ShutdownMark mark() {
        return mark;
    }

    /**
     * Notes one more owner and opens the door.
     *
     * @param first whether it is the only one, its files in order
     * @param files their lengths and structures, without checksums
     */
    synchronized void enter(boolean first, List<ShutdownMark.Seal> files) throws IOException {
        int process = (int) ProcessHandle.current().pid();
        mark = mark.opened(first, process, new SplittableRandom().nextLong(), files);
        mark.write(channel);
        shareOpen();
        unlockDoor();
    }

    /** Makes one closing at a time: to be called before the files are closed, {@link #leave} after. */
    synchronized void beginClosing() throws IOException {
        lockDoor();
        mark = ShutdownMark.read(channel);
    }

    /** Notes that this owner has closed its files; {@code sealer} seals them when it was the last and all went well. */
    synchronized void leave(List<ShutdownMark.Seal> files, Sealer sealer) throws IOException {
        mark = mark.closed(files);
        if (alone() && mark.clean()) {
            mark = mark.sealed(sealer.seal());
        }
        mark.write(channel);
        channel.force(false);
    }

    /** Seals the closed map files. */
    interface Sealer {
        List<ShutdownMark.Seal> seal() throws IOException;
    }

    /** Keeps a prefix from being evicted by anyone until {@link #unpin}; false when it is being evicted. */
    synchronized boolean pin(long prefix) {
        Pin pin = pins.get(prefix);
        if (pin == null) {
            FileLock lock = tryLock(PREFIXES + (prefix >>> 2), true);
            if (lock == null) {
                return false;
            }
            pin = new Pin();
            pin.lock = lock;
            pins.put(prefix, pin);
        }
        pin.holders++;
        return true;
    }

    /** Ends one {@link #pin}; returns whether it was this process's last one of the prefix. */
    synchronized boolean unpin(long prefix) {
        Pin pin = pins.get(prefix);
        if (--pin.holders > 0) {
            return false;
        }
        pins.remove(prefix);
        release(pin.lock);
        return true;
    }

    /** Takes a prefix that nobody uses, this process included, for removal; null when somebody does. */
    synchronized FileLock claim(long prefix) {
        return pins.containsKey(prefix) ? null : tryLock(PREFIXES + (prefix >>> 2), false);
    }

    /** Becomes the one that evicts; null when another process, or thread, does. */
    synchronized FileLock beginEviction() {
        return tryLock(EVICTION, false);
    }

    /** Ends a lock of {@link #claim} or {@link #beginEviction}. */
    synchronized void release(FileLock lock) {
        try {
            lock.release();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public synchronized void close() throws IOException {
        try {
            channel.close(); // with all locks
        } finally {
            OPEN_HERE.remove(path);
        }
    }

    private FileLock tryLock(long position, boolean shared) {
        try {
            return channel.tryLock(position, 1, shared);
        } catch (OverlappingFileLockException e) {
            return null; // this process has it, for a prefix that differs in its last two bits
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void shareOpen() throws IOException {
        if (open != null) {
            open.release();
        }
        open = channel.lock(OPEN, 1, true);
    }

    private void lockDoor() throws IOException {
        long deadline = System.nanoTime() + WAIT_NANOS;
        door = channel.tryLock(DOOR, 1, false);
        while (door == null) {
            if (System.nanoTime() - deadline > 0) {
                throw new InvalidInputException(
                        "%s: another process is opening or closing the store for over %d s; try again"
                                .formatted(path.getParent(), WAIT_NANOS / 1_000_000_000));
            }
            try {
                Thread.sleep(RETRY_MILLIS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new InvalidInputException(path.getParent() + ": interrupted while waiting for the store", e);
            }
            door = channel.tryLock(DOOR, 1, false);
        }
    }

    private void unlockDoor() throws IOException {
        door.release();
        door = null;
    }
}
