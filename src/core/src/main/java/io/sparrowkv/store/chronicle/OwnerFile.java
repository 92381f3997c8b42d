package io.sparrowkv.store.chronicle;

import io.sparrowkv.io.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.ConcurrentHashMap;
import java.util.zip.CRC32C;

/**
 * Who has a store open, and whether it was closed in order: the file {@value #NAME}.
 *
 * <p>Locks are byte ranges locked by the operating system, which lets go of them when their process dies, however it dies; so no
 * lock is ever stale. The ranges lie past the file's contents: one is held while opening and closing, one is shared by all who have
 * the store open, one is held while evicting, and one for each prefix that is in use.
 *
 * <p>The contents, little-endian, are the mark of a clean shutdown:
 *
 * <pre>
 * offset      type                     content
 * 0           int32                    format version, {@value #VERSION}
 * 4           int32                    process id of the last to open it
 * 8           int64                    openings since it was last clean
 * 16          int64                    closings since; equal to the openings when all was closed in order
 * 24          int64                    epoch: drawn anew by whoever opens it alone
 * 32          3 × {int64 length, segmentsOffset, segmentBytes, segments, headBytes, checksum}, of the map files, when it is clean
 * 176         int32                    CRC-32C of bytes 0 to 176
 * </pre>
 */
final class OwnerFile implements AutoCloseable {
    static final String NAME = "owner";

    private static final int VERSION = 1;
    private static final int FILES = 3;
    private static final int SEALS_AT = 32;
    private static final int CHECKSUM_AT = SEALS_AT + FILES * 6 * Long.BYTES;
    private static final int BYTES = CHECKSUM_AT + Integer.BYTES;
    private static final long DOOR = 1L << 40;
    private static final long OPEN = DOOR + 1;
    private static final long EVICTION = DOOR + 2;
    private static final long PREFIXES = 1L << 62;

    private static final long WAIT_NANOS = 30_000_000_000L;
    private static final long RETRY_MILLIS = 20;

    /** Closing any channel of a file ends all of a process's locks on it (fcntl), so a process must open it only once. */
    private static final Set<Path> OPEN_HERE = ConcurrentHashMap.newKeySet();

    /** A map file as its last owner left it. */
    record Seal(long length, FileStructure structure, int checksum) {}

    private final Path path;
    private final FileChannel channel;
    private final Map<Long, Pin> pins = new HashMap<>();
    private FileLock door;
    private FileLock open;
    private long openings;
    private long closings;
    private long epoch;
    private int lastProcess;
    private List<Seal> seals = List.of();

    private static final class Pin {
        FileLock lock;
        int holders;
    }

    private OwnerFile(Path path, FileChannel channel) {
        this.path = path;
        this.channel = channel;
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
            OwnerFile file = new OwnerFile(path, channel);
            file.lockDoor();
            file.read();
            return file;
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

    /** Whether the last owner closed the store in order; {@link #seals} says how it left it. */
    boolean clean() {
        return openings == closings && seals.size() == FILES;
    }

    /** The map files as they were last described; with their checksums when the store is clean. */
    List<Seal> seals() {
        return seals;
    }

    /** A number of the time since somebody opened the store alone: what was checked in it need not be checked again. */
    long epoch() {
        return epoch;
    }

    /** The last to open the store, for people. */
    String lastOwner() {
        return lastProcess == 0 ? "unknown" : "process " + lastProcess;
    }

    /**
     * Notes one more owner and opens the door.
     *
     * @param first whether it is the only one, its files in order
     * @param files their lengths and structures, without checksums
     */
    synchronized void enter(boolean first, List<Seal> files) throws IOException {
        if (first) {
            openings = 0;
            closings = 0;
            epoch = new SplittableRandom().nextLong();
        }
        openings++;
        seals = files;
        lastProcess = (int) ProcessHandle.current().pid();
        write();
        shareOpen();
        unlockDoor();
    }

    /** Makes one closing at a time: to be called before the files are closed, {@link #leave} after. */
    synchronized void beginClosing() throws IOException {
        lockDoor();
        read();
    }

    /** Notes that this owner has closed its files; {@code sealer} seals them when it was the last and all went well. */
    synchronized void leave(List<Seal> files, Sealer sealer) throws IOException {
        closings++;
        seals = files;
        if (alone() && openings == closings) {
            seals = sealer.seal();
        }
        write();
        channel.force(false);
    }

    /** Seals the closed map files. */
    interface Sealer {
        List<Seal> seal() throws IOException;
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

    /** Becomes the one process that evicts; null when another one is. */
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

    private void read() throws IOException {
        ByteBuffer buffer = buffer();
        seals = List.of();
        openings = 1; // what cannot be read was not closed in order
        closings = 0;
        if (channel.read(buffer, 0) < BYTES
                || buffer.getInt(0) != VERSION
                || buffer.getInt(CHECKSUM_AT) != checksum(buffer)) {
            return;
        }
        lastProcess = buffer.getInt(4);
        openings = buffer.getLong(8);
        closings = buffer.getLong(16);
        epoch = buffer.getLong(24);
        List<Seal> found = new ArrayList<>();
        for (int at = SEALS_AT; at < CHECKSUM_AT; at += 6 * Long.BYTES) {
            if (buffer.getLong(at) > 0) {
                FileStructure structure = new FileStructure(
                        buffer.getLong(at + 8),
                        buffer.getLong(at + 16),
                        (int) buffer.getLong(at + 24),
                        buffer.getLong(at + 32));
                found.add(new Seal(buffer.getLong(at), structure, (int) buffer.getLong(at + 40)));
            }
        }
        seals = List.copyOf(found);
    }

    private void write() throws IOException {
        ByteBuffer buffer = buffer();
        buffer.putInt(0, VERSION)
                .putInt(4, lastProcess)
                .putLong(8, openings)
                .putLong(16, closings)
                .putLong(24, epoch);
        int at = SEALS_AT;
        for (Seal seal : seals) {
            FileStructure structure = seal.structure();
            buffer.putLong(at, seal.length())
                    .putLong(at + 8, structure.segmentsOffset())
                    .putLong(at + 16, structure.segmentBytes())
                    .putLong(at + 24, structure.segments())
                    .putLong(at + 32, structure.headBytes())
                    .putLong(at + 40, seal.checksum());
            at += 6 * Long.BYTES;
        }
        buffer.putInt(CHECKSUM_AT, checksum(buffer));
        channel.write(buffer, 0);
    }

    private static ByteBuffer buffer() {
        return ByteBuffer.allocate(BYTES).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static int checksum(ByteBuffer buffer) {
        CRC32C crc = new CRC32C();
        crc.update(buffer.array(), 0, CHECKSUM_AT);
        return (int) crc.getValue();
    }
}
