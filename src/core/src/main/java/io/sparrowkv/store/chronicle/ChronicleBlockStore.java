package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import io.sparrowkv.store.BlockStore;
import io.sparrowkv.store.StoreStatistics;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps blocks in a folder, in memory-mapped Chronicle Maps that outlive the process and that several processes may share. A block
 * is read where it lies.
 *
 * <pre>
 * manifest.json   what the codes depend on, the capacity                    {@link StoreManifest}
 * owner           who has the store open; the mark of a clean shutdown      {@link OwnerFile}
 * prefixes.dat    prefix → its tokens, the prefix before it, its last use   {@link PrefixRecord}
 * blocks.dat      (prefix, layer) → code blocks of keys and values          {@link BlockSlot}
 * dense.dat       (prefix, layer) → dense sinks, and windows to go on from  {@link BlockSlot}
 * </pre>
 *
 * <p>Every part has a checksum, which is looked at when the part is first read after the store was opened; a wrong one drops the
 * part, and the block is missing. What is put is safe from a crash of the process at once, and from one of the machine when it was
 * forced to disk ({@link Sync}). When the store is full, the least recently used prefixes go.
 */
public final class ChronicleBlockStore implements BlockStore {
    private static final Logger LOG = LoggerFactory.getLogger(ChronicleBlockStore.class);

    private final Path folder;
    private final StoreManifest manifest;
    private final OwnerFile owner;
    private final MapFiles files;
    private final Forcing forcing;
    private final StoreParts parts;
    private boolean closed;

    private ChronicleBlockStore(Path folder, Sync sync, OwnerFile owner, MapFiles files) {
        this.folder = folder;
        this.manifest = files.manifest();
        this.owner = owner;
        this.files = files;
        forcing = new Forcing(folder, files, sync);
        parts = new StoreParts(folder, files, owner, forcing);
    }

    /**
     * Makes a store in a folder, which is made where it is missing, and opens it.
     *
     * @param capacity most bytes that its map files take together; they are reserved at once
     * @throws InvalidInputException when the folder holds a store, or the capacity is too small or does not fit
     * @throws IOException when the folder cannot be written
     */
    public static ChronicleBlockStore create(Path folder, StoreProfile profile, long capacity, Sync sync)
            throws IOException {
        Files.createDirectories(folder);
        return open(folder, sync, owner -> {
            if (Files.exists(folder.resolve(StoreManifest.NAME))) {
                throw new InvalidInputException(folder + ": holds a store already; choose another folder");
            }
            MapFiles files = MapFiles.create(folder, profile, capacity);
            try {
                files.manifest().write(folder);
            } catch (RuntimeException e) {
                files.close();
                throw e;
            }
            return files;
        });
    }

    /**
     * Opens the store of a folder, alone or beside other processes, and repairs it when it was not closed in order.
     *
     * @throws InvalidInputException when it is no store, one of another version, or open in this process already
     * @throws IOException when the folder cannot be read and written
     */
    public static ChronicleBlockStore open(Path folder, Sync sync) throws IOException {
        StoreManifest manifest = StoreManifest.read(folder);
        return open(folder, sync, owner -> MapFiles.open(folder, manifest, owner));
    }

    /** Opens as {@link #open(Path, Sync)} and refuses a store of another profile, showing both values of what differs. */
    public static ChronicleBlockStore open(Path folder, StoreProfile profile, Sync sync) throws IOException {
        StoreManifest.read(folder).require(folder, profile);
        return open(folder, sync);
    }

    private interface Opener {
        MapFiles open(OwnerFile owner) throws IOException;
    }

    private static ChronicleBlockStore open(Path folder, Sync sync, Opener opener) throws IOException {
        OwnerFile owner = OwnerFile.open(folder);
        MapFiles files = null;
        try {
            boolean alone = owner.alone();
            files = opener.open(owner);
            owner.enter(alone, files.describe());
            return new ChronicleBlockStore(folder, sync, owner, files);
        } catch (IOException | RuntimeException | Error e) {
            if (files != null) {
                files.close();
            }
            owner.close();
            throw e;
        }
    }

    /** What the store was made for. */
    public StoreManifest manifest() {
        return manifest;
    }

    public Path folder() {
        return folder;
    }

    /**
     * Looks up the longest known beginning of a sequence, and keeps it from being evicted until the result is closed.
     *
     * @param tokens the sequence's first tokens, all that are known
     * @param most tokens that need not be read again if they are known; the logits after the others are wanted
     */
    public StoredSequence sequence(int[] tokens, int most) {
        return new StoredSequence(parts, tokens, most);
    }

    /** Looks up a prompt: all of it but the last token, whose logits are wanted, may be known. */
    public StoredSequence sequence(int[] tokens) {
        return sequence(tokens, Math.max(0, tokens.length - 1));
    }

    /**
     * {@inheritDoc}
     *
     * <p>A block that is there and intact stays: equal prefixes mean equal content. When the store is full, prefixes are evicted.
     *
     * @throws InvalidInputException when nothing can be evicted
     */
    @Override
    public void put(BlockKey key, CodeBlockLayout layout, MemorySegment body) {
        requireLayout(key.site(), layout, body);
        long prefix = key.prefix();
        if (!parts.pin(prefix)) {
            throw new InvalidInputException(folder + ": the block's prefix is being evicted by another process");
        }
        try {
            boolean kept = parts.knows(prefix)
                    || parts.addPrefix(prefix, 0, PrefixRecord.ANONYMOUS, new int[0], 0, 0, System.currentTimeMillis());
            if (!kept || !parts.putBlock(prefix, layout, body)) {
                throw new InvalidInputException(
                        "%s: the store is full and all of it is in use; make a larger one".formatted(folder));
            }
        } finally {
            parts.unpin(prefix);
        }
    }

    @Override
    public Optional<BlockLease> get(BlockKey key) {
        if (!parts.pin(key.prefix())) {
            parts.miss();
            return Optional.empty();
        }
        CodeBlockLayout layout = parts.layout(key.site());
        MemorySegment body = parts.block(key.prefix(), layout);
        if (body == null) {
            parts.unpin(key.prefix());
            return Optional.empty();
        }
        return Optional.of(new Lease(key.prefix(), layout, body));
    }

    @Override
    public boolean contains(BlockKey key) {
        return parts.hasBlock(key.prefix(), key.site());
    }

    @Override
    public boolean remove(BlockKey key) {
        if (!parts.pin(key.prefix())) {
            return false;
        }
        try {
            return parts.dropBlock(key.prefix(), key.site());
        } finally {
            parts.unpin(key.prefix());
        }
    }

    @Override
    public List<BlockKey> keys() {
        List<BlockKey> keys = new ArrayList<>();
        files.blocks.forEach((prefix, layer, slot) -> {
            for (VectorKind kind : VectorKind.values()) {
                if (BlockSlot.has(slot, kind.ordinal())) {
                    keys.add(new BlockKey(prefix, Site.of((int) layer, kind)));
                }
            }
        });
        return keys;
    }

    /** What the store holds: {@code bytes} are those of the slots in use, {@code limit} those of all map files. */
    @Override
    public StoreStatistics statistics() {
        long[] blocks = {0};
        files.blocks.forEach((prefix, layer, slot) -> {
            for (int part = 0; part < BlockSlot.PARTS; part++) {
                blocks[0] += BlockSlot.has(slot, part) ? 1 : 0;
            }
        });
        long bytes = files.blocks.count() * files.blocks.slotBytes()
                + files.dense.count() * files.dense.slotBytes()
                + files.prefixes.count() * files.prefixes.slotBytes();
        return new StoreStatistics(blocks[0], bytes, manifest.capacity());
    }

    /** What this process has seen since it opened the store. */
    public StoreCounters counters() {
        return parts.counters();
    }

    /** Evicts up to {@code prefixes} prefixes, the least recently used; returns how many it could. */
    public long evict(long prefixes) {
        return parts.evict(prefixes);
    }

    /** Bytes of the map files on disk. */
    public long fileBytes() throws IOException {
        return files.byteSize();
    }

    @Override
    public long openSequence() {
        return new SecureRandom().nextLong(); // other processes draw too, so counting would not do
    }

    /** Forces all that was put to the disk. */
    public void flush() throws IOException {
        files.force();
    }

    /** Closes the store in order. Blocks stay; leases must not be used any more. */
    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            forcing.end();
            owner.beginClosing();
            files.force();
            List<ShutdownMark.Seal> described = files.describe();
            files.close();
            owner.leave(described, () -> MapFiles.seal(folder, described));
        } catch (IOException e) {
            LOG.warn(
                    "{}: the store could not be closed in order ({}); it will be checked when it is next opened",
                    folder,
                    e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            closeOwner();
        }
    }

    StoreParts parts() {
        return parts;
    }

    OwnerFile owner() {
        return owner;
    }

    private void requireLayout(Site site, CodeBlockLayout layout, MemorySegment body) {
        if (site.layer() >= manifest.profile().layers()
                || site.head() != Site.ALL_HEADS
                || !layout.equals(parts.layout(site))
                || body.byteSize() != layout.byteSize()) {
            throw new IllegalArgumentException(
                    "%s, %d bytes, where the store has %s".formatted(layout, body.byteSize(), manifest.profile()));
        }
    }

    private void closeOwner() {
        try {
            owner.close();
        } catch (IOException e) {
            LOG.warn("{}: {}", folder, e.getMessage());
        }
    }

    private final class Lease implements BlockLease {
        private final long prefix;
        private final CodeBlockLayout layout;
        private final MemorySegment body;

        Lease(long prefix, CodeBlockLayout layout, MemorySegment body) {
            this.prefix = prefix;
            this.layout = layout;
            this.body = body;
        }

        @Override
        public CodeBlockLayout layout() {
            return layout;
        }

        @Override
        public MemorySegment body() {
            return body;
        }

        @Override
        public void close() {
            parts.unpin(prefix);
        }
    }
}
