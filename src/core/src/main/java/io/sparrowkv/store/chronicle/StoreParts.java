package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileLock;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongUnaryOperator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The parts of an open store, by prefix, layer and kind: written with a checksum, given after a look at it, and counted; when there is
 * no room for one, the least recently used prefixes go. A prefix is to be pinned for as long as its parts are put or read.
 */
final class StoreParts {
    private static final Logger LOG = LoggerFactory.getLogger(StoreParts.class);

    /** Prefixes that go beyond those that must, so that not every put evicts. */
    private static final long EVICTED_SHARE = 32;

    private final Path folder;
    private final StoreManifest manifest;
    private final MapFiles files;
    private final OwnerFile owner;
    private final Forcing forcing;
    private final Eviction eviction;
    private final CodeBlockLayout[][] layouts;
    private final long salt;
    /** Drawn by whoever opened the store alone: what was checked in it need not be checked again. */
    private final long epoch;

    private final Set<Long> emptied = ConcurrentHashMap.newKeySet();
    private final LongAdder hits = new LongAdder();
    private final LongAdder misses = new LongAdder();
    private final LongAdder damaged = new LongAdder();
    private final LongAdder written = new LongAdder();
    private final LongAdder evictedPrefixes = new LongAdder();
    private final LongAdder evictedBytes = new LongAdder();
    private final LongAdder rejected = new LongAdder();

    /** @param owner has entered */
    StoreParts(Path folder, MapFiles files, OwnerFile owner, Forcing forcing) {
        this.folder = folder;
        this.manifest = files.manifest();
        this.files = files;
        this.owner = owner;
        this.forcing = forcing;
        StoreProfile profile = manifest.profile();
        salt = profile.salt();
        epoch = owner.mark().epoch();
        eviction = new Eviction(files, owner, profile.layers());
        layouts = new CodeBlockLayout[profile.layers()][];
        for (int layer = 0; layer < layouts.length; layer++) {
            layouts[layer] = new CodeBlockLayout[] {
                profile.layout(layer, VectorKind.KEY), profile.layout(layer, VectorKind.VALUE)
            };
        }
    }

    Path folder() {
        return folder;
    }

    StoreManifest manifest() {
        return manifest;
    }

    /** The map files, for whoever looks through all of them. */
    MapFiles files() {
        return files;
    }

    /** The beginning of all prefixes. */
    long salt() {
        return salt;
    }

    CodeBlockLayout layout(Site site) {
        return layouts[site.layer()][part(site)];
    }

    /** What was seen since the store was opened. */
    StoreCounters counters() {
        return new StoreCounters(
                hits.sum(),
                misses.sum(),
                damaged.sum(),
                written.sum(),
                evictedPrefixes.sum(),
                evictedBytes.sum(),
                rejected.sum());
    }

    /**
     * Refuses to go on with files that somebody has cut: reading past the end of a mapped file would end the process.
     *
     * @throws IOException that names the file
     */
    void requireWhole() throws IOException {
        files.requireWhole();
    }

    /** Keeps a prefix from being evicted by anyone until {@link #unpin}; false when it is being evicted. */
    boolean pin(long prefix) {
        return owner.pin(prefix);
    }

    /** Ends a pin, and clears away what was removed while it lasted. */
    void unpin(long prefix) {
        if (owner.unpin(prefix) && emptied.remove(prefix)) {
            clearAway(prefix);
        }
    }

    /** A prefix's record where it lies, or null. */
    MemorySegment record(long prefix) {
        return files.prefixes.find(prefix, 0);
    }

    boolean knows(long prefix) {
        return files.prefixes.contains(prefix, 0);
    }

    /** Drops a prefix that is damaged, with all its parts, unless it is in use. */
    void dropPrefix(long prefix) {
        eviction.prefix(prefix);
    }

    /** Whether a block is there, right or not. */
    boolean hasBlock(long prefix, Site site) {
        MemorySegment slot = files.blocks.find(prefix, site.layer());
        return slot != null && BlockSlot.has(slot, part(site));
    }

    /** Drops a block; its room is given up with the last pin of its prefix. Returns whether it was there. */
    boolean dropBlock(long prefix, Site site) {
        MemorySegment slot = files.blocks.find(prefix, site.layer());
        if (slot == null || !BlockSlot.has(slot, part(site))) {
            return false;
        }
        BlockSlot.drop(slot, part(site));
        emptied.add(prefix);
        return true;
    }

    /** Counts a block that could not be given. */
    void miss() {
        misses.increment();
    }

    /** Evicts up to {@code prefixes} prefixes; returns how many it could. */
    long evict(long prefixes) {
        Eviction.Freed freed = eviction.prefixes(prefixes);
        evictedPrefixes.add(freed.prefixes());
        evictedBytes.add(freed.bytes());
        if (freed.prefixes() > 0) {
            LOG.debug("{}: evicted {} prefixes, {} bytes", folder, freed.prefixes(), freed.bytes());
        }
        return freed.prefixes();
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
        return retryingWithRoom(
                () -> files.prefixes.write(
                        prefix, 0, (record, fresh) -> PrefixRecord.write(record, parent, end, tokens, from, to, used)),
                this::evict);
    }

    /** Keeps a block of a prefix that is pinned and known; false when there is no room for it. */
    boolean putBlock(long prefix, CodeBlockLayout layout, MemorySegment body) {
        int layer = layout.site().layer();
        return putPart(files.blocks, prefix, layer, part(layout.site()), offset(layout), body, this::evict);
    }

    /** A block of a pinned prefix where it lies, checked; null when it is missing or damaged. */
    MemorySegment block(long prefix, CodeBlockLayout layout) {
        int layer = layout.site().layer();
        return part(files.blocks, prefix, layer, part(layout.site()), offset(layout), layout.byteSize());
    }

    /** Keeps dense vectors of a pinned prefix, {@code [tokens, kvHeads, dHead]}; false when there is no room for them. */
    boolean putDense(long prefix, int layer, VectorKind kind, MemorySegment vectors) {
        if (files.dense.count() + layouts.length > manifest.denseSlots()) {
            evictDense(2);
        }
        return putPart(files.dense, prefix, layer, kind.ordinal(), denseOffset(kind), vectors, this::evictDense);
    }

    /** Drops the dense vectors, not the codes, of about so many prefixes; returns how many slots went. */
    private long evictDense(long prefixes) {
        long before = files.dense.count();
        eviction.dense(prefixes * layouts.length);
        return before - files.dense.count();
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

    /** Where a block lies in its slot. */
    long offset(CodeBlockLayout layout) {
        int layer = layout.site().layer();
        return BlockSlot.HEADER_BYTES + (part(layout.site()) == 0 ? 0 : layouts[layer][0].byteSize());
    }

    /** Where dense keys or values lie in their slot. */
    long denseOffset(VectorKind kind) {
        long vectors = (files.dense.slotBytes() - BlockSlot.HEADER_BYTES) / 2;
        return BlockSlot.HEADER_BYTES + kind.ordinal() * vectors;
    }

    private boolean putPart(
            SlotFile file,
            long prefix,
            int layer,
            int part,
            long offset,
            MemorySegment body,
            LongUnaryOperator eviction) {
        Attempt attempt = () -> file.write(prefix, layer, (slot, fresh) -> {
            if (fresh) {
                BlockSlot.clear(slot, prefix, layer);
            }
            if (!BlockSlot.check(slot, part, offset, body.byteSize(), epoch)) {
                BlockSlot.write(slot, part, offset, body, epoch);
            }
        });
        if (!retryingWithRoom(attempt, eviction)) {
            rejected.increment();
            return false;
        }
        written.increment();
        forcing.afterPut();
        return true;
    }

    /** Hashing is uneven: a map may lack room for one key while it has room for others, so that more must go, and more. */
    private boolean retryingWithRoom(Attempt attempt, LongUnaryOperator eviction) {
        for (long prefixes = 1 + manifest.prefixSlots() / EVICTED_SHARE; !attempt.succeeds(); prefixes *= 2) {
            if (eviction.applyAsLong(prefixes) <= 0) {
                return false;
            }
        }
        return true;
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
        if (BlockSlot.prefix(slot) != prefix || !BlockSlot.check(slot, part, offset, bytes, epoch)) {
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
        FileLock claim = owner.claim(prefix);
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
}
