package io.sparrowkv.store.chronicle;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The prefixes of a store as they continue each other: a snapshot. */
final class PrefixTree {
    private final Map<Long, Node> nodes = new HashMap<>();

    /** A prefix, with what its {@link PrefixRecord} says. */
    static final class Node {
        /** The least recently used first, and of those used together the longest. */
        static final Comparator<Node> BY_USE =
                Comparator.<Node>comparingLong(node -> node.used).thenComparing(node -> -node.end);

        final long prefix;
        final long parent;
        final int end;
        final long used;
        private int children;

        private Node(long prefix, MemorySegment record) {
            this.prefix = prefix;
            parent = PrefixRecord.parent(record);
            end = PrefixRecord.end(record);
            used = PrefixRecord.used(record);
        }

        /** Whether no other prefix continues it. */
        boolean isLeaf() {
            return children == 0;
        }
    }

    /** Reads all prefixes, right or not. */
    PrefixTree(SlotFile prefixes) {
        prefixes.forEach((prefix, slot, record) -> nodes.put(prefix, new Node(prefix, record)));
        for (Node node : nodes.values()) {
            parent(node).ifPresent(parent -> parent.children++);
        }
    }

    Collection<Node> nodes() {
        return nodes.values();
    }

    /** The prefix that a node continues; empty at the beginning of a text. */
    Optional<Node> parent(Node node) {
        // Falsified records could lead in a circle.
        return Optional.ofNullable(nodes.get(node.parent)).filter(parent -> parent.end < node.end);
    }

    /** Takes a leaf out; gives the prefix it continued when that is a leaf now. */
    Optional<Node> remove(Node leaf) {
        nodes.remove(leaf.prefix);
        Optional<Node> parent = parent(leaf);
        parent.ifPresent(node -> node.children--);
        return parent.filter(Node::isLeaf);
    }

    /** All that leads back to the beginning of a text: each after the one it continues, and those of a text together. */
    List<Node> inOrder() {
        Map<Long, List<Node>> children = new HashMap<>();
        Deque<Node> open = new ArrayDeque<>();
        List<Node> sorted = new ArrayList<>(nodes.values());
        sorted.sort(Comparator.<Node>comparingLong(node -> node.used).thenComparingLong(node -> node.prefix));
        for (Node node : sorted) {
            if (node.parent == 0) {
                open.add(node);
            } else {
                children.computeIfAbsent(node.parent, parent -> new ArrayList<>())
                        .add(node);
            }
        }
        List<Node> ordered = new ArrayList<>();
        while (!open.isEmpty()) {
            Node node = open.removeLast();
            ordered.add(node);
            open.addAll(children.getOrDefault(node.prefix, List.of()));
        }
        return ordered;
    }
}
