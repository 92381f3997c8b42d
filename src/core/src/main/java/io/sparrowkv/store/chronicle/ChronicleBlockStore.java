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
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
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
    private static final long SYNC_MILLIS = 1000;

    /** Prefixes that go beyond those that must, so that not every put evicts. */
    private static final long EVICTED_SHARE = 32;

    private final Path folder;
    private final StoreManifest manifest;
    private final Sync sync;
    private final OwnerFile owner;
    private final MapFiles files;
    private final Eviction eviction;
    private final long salt;
    private final CodeBlockLayout[][] layouts;
    private final Set<Long> emptied = ConcurrentHashMap.newKeySet();
    private final LongAdder hits = new LongAdder();
    private final LongAdder misses = new LongAdder();
    private final LongAdder damaged = new LongAdder();
    private final LongAdder written = new LongAdder();
    private final LongAdder evictedPrefixes = new LongAdder();
    private final LongAdder evictedBytes = new LongAdder();
    private final LongAdder rejected = new LongAdder();
    private final CountDownLatch closing = new CountDownLatch(1);
    private final Thread syncing;
    private volatile boolean closed;

    private ChronicleBlockStore(Path folder, StoreManifest manifest, Sync sync, OwnerFile owner, MapFiles files) {
        this.folder = folder;
        this.manifest = manifest;
        this.sync = sync;
        this.owner = owner;
        this.files = files;
        StoreProfile profile = manifest.profile();
        salt = profile.salt();
        eviction = new Eviction(files, owner, profile.layers());
        layouts = new CodeBlockLayout[profile.layers()][];
        for (int layer = 0; layer < layouts.length; layer++) {
            layouts[layer] = new CodeBlockLayout[] {
                profile.layout(layer, VectorKind.KEY), profile.layout(layer, VectorKind.VALUE)
            };
        }
        syncing = sync == Sync.INTERVAL
                ? Thread.ofPlatform().daemon().name("sparrow-store-sync").start(this::forceEverySecond)
                : null;
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
            return new ChronicleBlockStore(folder, files.manifest(), sync, owner, files);
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
        return new StoredSequence(this, tokens, most);
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
        if (!owner.pin(key.prefix())) {
            throw new InvalidInputException(folder + ": the block's prefix is being evicted by another process");
        }
        try {
            boolean kept = files.prefixes.contains(key.prefix(), 0)
                    || addPrefix(key.prefix(), 0, PrefixRecord.ANONYMOUS, new int[0], 0, 0, System.currentTimeMillis());
            if (!kept || !putBlock(key.prefix(), layout, body)) {
                throw new InvalidInputException(
                        "%s: the store is full and all of it is in use; make a larger one".formatted(folder));
            }
        } finally {
            unpin(key.prefix());
        }
    }

    @Override
    public Optional<BlockLease> get(BlockKey key) {
        if (!owner.pin(key.prefix())) {
            misses.increment();
            return Optional.empty();
        }
        MemorySegment body = block(key.prefix(), layout(key.site()));
        if (body == null) {
            unpin(key.prefix());
            return Optional.empty();
        }
        return Optional.of(new Lease(key.prefix(), layout(key.site()), body));
    }

    @Override
    public boolean contains(BlockKey key) {
        MemorySegment slot = files.blocks.find(key.prefix(), key.site().layer());
        return slot != null && BlockSlot.has(slot, part(key.site()));
    }

    @Override
    public boolean remove(BlockKey key) {
        if (!owner.pin(key.prefix())) {
            return false;
        }
        try {
            MemorySegment slot = files.blocks.find(key.prefix(), key.site().layer());
            if (slot == null || !BlockSlot.has(slot, part(key.site()))) {
                return false;
            }
            BlockSlot.drop(slot, part(key.site()));
            emptied.add(key.prefix());
            return true;
        } finally {
            unpin(key.prefix());
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
        return new StoreCounters(
                hits.sum(),
                misses.sum(),
                damaged.sum(),
                written.sum(),
                evictedPrefixes.sum(),
                evictedBytes.sum(),
                rejected.sum());
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
            if (syncing != null) {
                closing.countDown();
                syncing.join();
            }
            owner.beginClosing();
            files.force();
            List<OwnerFile.Seal> described = files.describe();
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

    MapFiles files() {
        return files;
    }

    OwnerFile owner() {
        return owner;
    }

    long salt() {
        return salt;
    }

    CodeBlockLayout layout(Site site) {
        return layouts[site.layer()][part(site)];
    }

    /** Evicts up to {@code prefixes} prefixes; returns how many it could. */
    public long evict(long prefixes) {
        Eviction.Freed freed = eviction.prefixes(prefixes);
        evictedPrefixes.add(freed.prefixes());
        evictedBytes.add(freed.bytes());
        if (freed.prefixes() > 0) {
            LOG.debug("{}: evicted {} prefixes, {} bytes", folder, freed.prefixes(), freed.bytes());
        }
        return freed.prefixes();
    }

    /** Ends a pin, and clears away what was removed while it lasted. */
    void unpin(long prefix) {
        if (owner.unpin(prefix) && emptied.remove(prefix)) {
            clearAway(prefix);
        }
    }

    /** Adds a prefix, which the caller has pinned; false when there is no room for its blocks. */
    boolean addPrefix(long prefix, long parent, int end, int[] tokens, int from, int to, long used) {
        int layers = layouts.length;
        boolean room = files.prefixes.count() < manifest.prefixSlots()
                && files.blocks.count() + layers <= manifest.blockSlots();
        if (!room && evict(1 + manifest.prefixSlots() / EVICTED_SHARE) == 0) {
            rejected.increment();
            return false;
        }
        return retryingWithRoom(() -> files.prefixes.write(
                prefix, 0, (record, fresh) -> PrefixRecord.write(record, parent, end, tokens, from, to, used)));
    }

    /** Keeps a block of a prefix that is pinned and known; false when there is no room for it. */
    boolean putBlock(long prefix, CodeBlockLayout layout, MemorySegment body) {
        int layer = layout.site().layer();
        return putPart(files.blocks, prefix, layer, part(layout.site()), offset(layout), body);
    }

    /** A block of a pinned prefix where it lies, checked; null when it is missing or damaged. */
    MemorySegment block(long prefix, CodeBlockLayout layout) {
        int layer = layout.site().layer();
        return part(files.blocks, prefix, layer, part(layout.site()), offset(layout), layout.byteSize());
    }

    /** Keeps dense vectors of a pinned prefix, {@code [tokens, kvHeads, dHead]}; false when there is no room for them. */
    boolean putDense(long prefix, int layer, VectorKind kind, MemorySegment vectors) {
        if (files.dense.count() + layouts.length > manifest.denseSlots()) {
            eviction.dense(2L * layouts.length);
        }
        return putPart(files.dense, prefix, layer, kind.ordinal(), denseOffset(kind), vectors);
    }

    /** Dense vectors of a pinned prefix where they lie, checked; null when they are missing or damaged. */
    MemorySegment dense(long prefix, int layer, VectorKind kind, int tokens) {
        long bytes = (long) tokens
                * manifest.profile().kvHeads()
                * manifest.profile().dHead()
                * Float.BYTES;
        return part(files.dense, prefix, layer, kind.ordinal(), denseOffset(kind), bytes);
    }

    /** Whether dense vectors are there, right or not. */
    boolean hasDense(long prefix, int layer, VectorKind kind) {
        MemorySegment slot = files.dense.find(prefix, layer);
        return slot != null && BlockSlot.has(slot, kind.ordinal());
    }

    private boolean putPart(SlotFile file, long prefix, int layer, int part, long offset, MemorySegment body) {
        boolean done = retryingWithRoom(() -> file.write(prefix, layer, (slot, fresh) -> {
            if (fresh) {
                BlockSlot.clear(slot, prefix, layer);
            }
            if (!BlockSlot.check(slot, part, offset, body.byteSize(), owner.epoch())) {
                BlockSlot.write(slot, part, offset, body, owner.epoch());
            }
        }));
        if (!done) {
            rejected.increment();
            return false;
        }
        written.increment();
        if (sync == Sync.ALWAYS) {
            try {
                files.force();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
        return true;
    }

    /** Hashing is uneven: a map may lack room for one key while it has room for others. */
    private boolean retryingWithRoom(Attempt attempt) {
        return attempt.succeeds() || evict(1 + manifest.prefixSlots() / EVICTED_SHARE) > 0 && attempt.succeeds();
    }

    private interface Attempt {
        boolean succeeds();
    }

    private MemorySegment part(SlotFile file, long prefix, int layer, int part, long offset, long bytes) {
        MemorySegment slot = file.find(prefix, layer);
        if (slot == null || !BlockSlot.has(slot, part)) {
            misses.increment();
            return null;
        }
        if (BlockSlot.prefix(slot) != prefix || !BlockSlot.check(slot, part, offset, bytes, owner.epoch())) {
            BlockSlot.drop(slot, part);
            damaged.increment();
            misses.increment();
            LOG.warn("{}: a damaged block of layer {} was dropped", folder, layer);
            return null;
        }
        hits.increment();
        return slot.asSlice(offset, bytes);
    }

    /** Gives up the room of slots that have lost all their parts, and their prefix if it has no tokens. */
    private void clearAway(long prefix) {
        var claim = owner.claim(prefix);
        if (claim == null) {
            return; // another process reads it; eviction will find it
        }
        try {
            boolean some = false;
            for (int layer = 0; layer < layouts.length; layer++) {
                MemorySegment slot = files.blocks.find(prefix, layer);
                if (slot != null && !BlockSlot.has(slot, 0) && !BlockSlot.has(slot, 1)) {
                    files.blocks.remove(prefix, layer);
                } else {
                    some |= slot != null;
                }
            }
            MemorySegment record = files.prefixes.find(prefix, 0);
            if (!some && record != null && PrefixRecord.end(record) == PrefixRecord.ANONYMOUS) {
                files.prefixes.remove(prefix, 0);
            }
        } finally {
            owner.release(claim);
        }
    }

    private static int part(Site site) {
        return site.kind().ordinal();
    }

    long offset(CodeBlockLayout layout) {
        int layer = layout.site().layer();
        return BlockSlot.HEADER_BYTES + (part(layout.site()) == 0 ? 0 : layouts[layer][0].byteSize());
    }

    long denseOffset(VectorKind kind) {
        long vectors = (files.dense.slotBytes() - BlockSlot.HEADER_BYTES) / 2;
        return BlockSlot.HEADER_BYTES + kind.ordinal() * vectors;
    }

    private void requireLayout(Site site, CodeBlockLayout layout, MemorySegment body) {
        if (site.layer() >= layouts.length
                || site.head() != Site.ALL_HEADS
                || !layout.equals(layout(site))
                || body.byteSize() != layout.byteSize()) {
            throw new IllegalArgumentException(
                    "%s, %d bytes, where the store has %s".formatted(layout, body.byteSize(), manifest.profile()));
        }
    }

    private void forceEverySecond() {
        try {
            // Not an interrupt: that would close the files' channels.
            while (!closing.await(SYNC_MILLIS, TimeUnit.MILLISECONDS)) {
                files.force();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (IOException e) {
            LOG.warn("{}: cannot be forced to disk ({})", folder, e.getMessage());
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
            unpin(prefix);
        }
    }
}
