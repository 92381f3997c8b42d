package io.sparrowkv.store.chronicle;

import java.lang.foreign.MemorySegment;
import java.nio.channels.FileLock;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Makes room: drops the least recently used prefixes that no other continues and nobody uses, from their ends on, so that what
 * remains of a sequence is always its beginning.
 */
final class Eviction {
    private static final long WAIT_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long RETRY_NANOS = TimeUnit.MILLISECONDS.toNanos(1);

    private final MapFiles files;
    private final OwnerFile owner;
    private final int layers;

    Eviction(MapFiles files, OwnerFile owner, int layers) {
        this.files = files;
        this.owner = owner;
        this.layers = layers;
    }

    /** What an eviction freed. */
    record Freed(long prefixes, long bytes) {}

    /** Drops whole prefixes until {@code prefixes} are gone or none may go. */
    Freed prefixes(long prefixes) {
        FileLock lock = begin();
        try {
            PrefixTree tree = new PrefixTree(files.prefixes);
            PriorityQueue<PrefixTree.Node> leaves = new PriorityQueue<>(PrefixTree.Node.BY_USE);
            tree.nodes().stream().filter(PrefixTree.Node::isLeaf).forEach(leaves::add);
            long evicted = 0;
            long bytes = 0;
            while (evicted < prefixes && !leaves.isEmpty()) {
                PrefixTree.Node leaf = leaves.poll();
                long freed = drop(leaf, true);
                if (freed < 0) {
                    continue;
                }
                evicted++;
                bytes += freed;
                tree.remove(leaf).ifPresent(leaves::add);
            }
            return new Freed(evicted, bytes);
        } finally {
            owner.release(lock);
        }
    }

    /** Drops dense vectors, those of the least recently used prefixes first, whose codes stay. */
    void dense(long slots) {
        FileLock lock = begin();
        try {
            List<PrefixTree.Node> byUse = new ArrayList<>(new PrefixTree(files.prefixes).nodes());
            byUse.sort(PrefixTree.Node.BY_USE);
            long enough = files.dense.count() - slots;
            for (PrefixTree.Node node : byUse) {
                if (files.dense.count() <= enough) {
                    return;
                }
                drop(node, false);
            }
        } finally {
            owner.release(lock);
        }
    }

    /** Drops a prefix with all its parts, whatever continues it; nothing when it is in use. */
    void prefix(long prefix) {
        FileLock claim = owner.claim(prefix);
        if (claim != null) {
            try {
                remove(prefix, true);
            } finally {
                owner.release(claim);
            }
        }
    }

    /** Waits while another process, or another thread, evicts. */
    private FileLock begin() {
        long deadline = System.nanoTime() + WAIT_NANOS;
        FileLock lock = owner.beginEviction();
        while (lock == null) {
            if (System.nanoTime() - deadline > 0) {
                throw new IllegalStateException("another process has been evicting for %d s"
                        .formatted(TimeUnit.NANOSECONDS.toSeconds(WAIT_NANOS)));
            }
            LockSupport.parkNanos(RETRY_NANOS);
            lock = owner.beginEviction();
        }
        return lock;
    }

    /** Bytes freed, or −1 when the prefix is in use. */
    private long drop(PrefixTree.Node node, boolean whole) {
        FileLock claim = owner.claim(node.prefix);
        if (claim == null) {
            return -1;
        }
        try {
            if (whole) {
                MemorySegment record = files.prefixes.find(node.prefix, 0);
                if (record == null || PrefixRecord.used(record) != node.used) {
                    return -1; // used since it was listed: it may have got a child
                }
            }
            return remove(node.prefix, whole);
        } finally {
            owner.release(claim);
        }
    }

    /** Bytes freed. */
    private long remove(long prefix, boolean whole) {
        long bytes = 0;
        if (whole && files.prefixes.remove(prefix, 0)) {
            bytes = files.prefixes.slotBytes();
        }
        for (int layer = 0; layer < layers; layer++) {
            if (files.dense.remove(prefix, layer)) {
                bytes += files.dense.slotBytes();
            }
            if (whole && files.blocks.remove(prefix, layer)) {
                bytes += files.blocks.slotBytes();
            }
        }
        return bytes;
    }
}
