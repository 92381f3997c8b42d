package io.sparrowkv.store.chronicle;

import java.nio.channels.FileLock;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;

/**
 * Makes room: drops the least recently used prefixes that no other continues and nobody uses, from their ends on, so that what
 * remains of a sequence is always its beginning.
 */
final class Eviction {
    private static final class Node {
        final long prefix;
        final long parent;
        final int end;
        final long used;
        int children;

        Node(long prefix, long parent, int end, long used) {
            this.prefix = prefix;
            this.parent = parent;
            this.end = end;
            this.used = used;
        }
    }

    private final MapFiles files;
    private final OwnerFile owner;
    private final int layers;

    Eviction(MapFiles files, OwnerFile owner, int layers) {
        this.files = files;
        this.owner = owner;
        this.layers = layers;
    }

    /** What an eviction freed. */
    record Freed(long prefixes, long bytes) {
        static final Freed NOTHING = new Freed(0, 0);
    }

    /** Drops whole prefixes until {@code prefixes} are gone or none may go. Nothing while another process evicts. */
    Freed prefixes(long prefixes) {
        FileLock lock = owner.beginEviction();
        if (lock == null) {
            return Freed.NOTHING;
        }
        try {
            Map<Long, Node> nodes = nodes();
            PriorityQueue<Node> leaves = new PriorityQueue<>(
                    Comparator.<Node>comparingLong(node -> node.used).thenComparing(node -> -node.end));
            nodes.values().stream().filter(node -> node.children == 0).forEach(leaves::add);
            long evicted = 0;
            long bytes = 0;
            while (evicted < prefixes && !leaves.isEmpty()) {
                Node leaf = leaves.poll();
                long freed = drop(leaf, true);
                if (freed < 0) {
                    continue;
                }
                evicted++;
                bytes += freed;
                Node parent = nodes.get(leaf.parent);
                if (parent != null && --parent.children == 0) {
                    leaves.add(parent);
                }
            }
            return new Freed(evicted, bytes);
        } finally {
            owner.release(lock);
        }
    }

    /** Drops dense vectors, those of the least recently used prefixes first, whose codes stay. */
    void dense(long slots) {
        FileLock lock = owner.beginEviction();
        if (lock == null) {
            return;
        }
        try {
            List<Node> byUse = new ArrayList<>(nodes().values());
            byUse.sort(Comparator.<Node>comparingLong(node -> node.used).thenComparing(node -> -node.end));
            long enough = files.dense.count() - slots;
            for (Node node : byUse) {
                if (files.dense.count() <= enough) {
                    return;
                }
                drop(node, false);
            }
        } finally {
            owner.release(lock);
        }
    }

    /** Bytes freed, or −1 when the prefix is in use. */
    private long drop(Node node, boolean whole) {
        FileLock claim = owner.claim(node.prefix);
        if (claim == null) {
            return -1;
        }
        try {
            long bytes = 0;
            if (whole) {
                var record = files.prefixes.find(node.prefix, 0);
                if (record == null || PrefixRecord.used(record) != node.used) {
                    return -1; // used since it was listed: it may have got a child
                }
                files.prefixes.remove(node.prefix, 0);
                bytes = files.prefixes.slotBytes();
            }
            for (int layer = 0; layer < layers; layer++) {
                if (files.dense.remove(node.prefix, layer)) {
                    bytes += files.dense.slotBytes();
                }
                if (whole && files.blocks.remove(node.prefix, layer)) {
                    bytes += files.blocks.slotBytes();
                }
            }
            return bytes;
        } finally {
            owner.release(claim);
        }
    }

    private Map<Long, Node> nodes() {
        Map<Long, Node> nodes = new HashMap<>();
        files.prefixes.forEach((prefix, slot, record) -> nodes.put(
                prefix,
                new Node(prefix, PrefixRecord.parent(record), PrefixRecord.end(record), PrefixRecord.used(record))));
        for (Node node : nodes.values()) {
            Node parent = nodes.get(node.parent);
            if (parent != null && parent != node) {
                parent.children++;
            }
        }
        return nodes;
    }
}
