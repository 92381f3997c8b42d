package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Looks through a whole store: what sequences it has, and whether every part of it is right. */
public final class StoreInspection {
    private StoreInspection() {}

    /**
     * A sequence that no other continues.
     *
     * @param prefix its name in the store
     * @param tokens of it that are kept; 0 for blocks that were put without tokens
     * @param usedMillis when it was last used, in milliseconds since 1970
     * @param blockSlots layers that have codes of its last block
     * @param resumable whether its end has a dense window, from which reading can go on
     * @param firstTokens token ids it begins with, at most those of the sinks and a block
     */
    public record Sequence(
            long prefix, int tokens, long usedMillis, int blockSlots, boolean resumable, List<Integer> firstTokens) {}

    /**
     * What a check of all parts found.
     *
     * @param blocks code blocks that are right
     * @param dense dense parts that are right
     * @param prefixes prefixes that are right
     * @param damaged parts that are not, which were dropped
     */
    public record Verification(long blocks, long dense, long prefixes, long damaged) {}

    /** Lists the sequences, the most recently used first. */
    public static List<Sequence> sequences(ChronicleBlockStore store) {
        StoreParts parts = store.parts();
        StoreProfile profile = store.manifest().profile();
        PrefixTree tree = new PrefixTree(parts.files().prefixes);
        List<Sequence> sequences = new ArrayList<>();
        for (PrefixTree.Node node : tree.nodes()) {
            if (!node.isLeaf()) {
                continue;
            }
            int slots = 0;
            for (int layer = 0; layer < profile.layers(); layer++) {
                slots += parts.files().blocks.contains(node.prefix, layer) ? 1 : 0;
            }
            boolean resumable =
                    profile.denseBlocks() == 0 || parts.files().dense.contains(node.prefix, profile.layers() - 1);
            sequences.add(new Sequence(
                    node.prefix, Math.max(0, node.end), node.used, slots, resumable, firstTokens(parts, tree, node)));
        }
        sequences.sort(Comparator.comparingLong(Sequence::usedMillis)
                .reversed()
                .thenComparing(Comparator.comparingInt(Sequence::tokens).reversed())
                .thenComparingLong(Sequence::prefix));
        return sequences;
    }

    /** The sinks and the first block of a text. */
    private static List<Integer> firstTokens(StoreParts parts, PrefixTree tree, PrefixTree.Node leaf) {
        PrefixTree.Node first = leaf;
        Optional<PrefixTree.Node> second = Optional.empty();
        for (Optional<PrefixTree.Node> at = tree.parent(leaf); at.isPresent(); at = tree.parent(first)) {
            second = Optional.of(first);
            first = at.get();
        }
        List<Integer> tokens = new ArrayList<>();
        addTokens(parts, first, tokens);
        second.ifPresent(node -> addTokens(parts, node, tokens));
        return tokens;
    }

    private static void addTokens(StoreParts parts, PrefixTree.Node node, List<Integer> tokens) {
        if (!parts.pin(node.prefix)) {
            return; // it is being evicted
        }
        try {
            MemorySegment record = parts.record(node.prefix);
            if (record != null && PrefixRecord.intact(record)) {
                for (int token : PrefixRecord.tokens(record)) {
                    tokens.add(token);
                }
            }
        } finally {
            parts.unpin(node.prefix);
        }
    }

    /** Checks every checksum, whether it was looked at before or not, and drops what is wrong. */
    public static Verification verify(ChronicleBlockStore store) {
        StoreParts parts = store.parts();
        StoreProfile profile = store.manifest().profile();
        Set<Long> roots = new HashSet<>();
        List<Long> damagedPrefixes = new ArrayList<>();
        long[] prefixes = {0};
        parts.files().prefixes.forEach((prefix, slot, record) -> {
            prefixes[0]++;
            if (!PrefixRecord.intact(record)) {
                damagedPrefixes.add(prefix);
            } else if (PrefixRecord.end(record) == profile.sinks()) {
                roots.add(prefix);
            }
        });
        damagedPrefixes.forEach(parts::dropPrefix);
        Checked blocks = new Checked();
        parts.files().blocks.forEach((prefix, layer, slot) -> {
            for (VectorKind kind : VectorKind.values()) {
                CodeBlockLayout layout = parts.layout(Site.of((int) layer, kind));
                blocks.check(slot, prefix, kind, parts.offset(layout), layout.byteSize());
            }
        });
        long vector = (long) profile.kvHeads() * profile.dHead() * Float.BYTES;
        Checked dense = new Checked();
        parts.files().dense.forEach((prefix, layer, slot) -> {
            long tokens = roots.contains(prefix) ? profile.sinks() : CodeBlockLayout.TOKENS;
            for (VectorKind kind : VectorKind.values()) {
                dense.check(slot, prefix, kind, parts.denseOffset(kind), tokens * vector);
            }
        });
        return new Verification(
                blocks.right,
                dense.right,
                prefixes[0] - damagedPrefixes.size(),
                blocks.damaged + dense.damaged + damagedPrefixes.size());
    }

    /** Counts parts of slots. */
    private static final class Checked {
        long right;
        long damaged;

        void check(MemorySegment slot, long prefix, VectorKind kind, long offset, long bytes) {
            int part = kind.ordinal();
            if (!BlockSlot.has(slot, part)) {
                return;
            }
            if (BlockSlot.prefix(slot) == prefix && BlockSlot.verify(slot, part, offset, bytes)) {
                right++;
            } else {
                BlockSlot.drop(slot, part);
                damaged++;
            }
        }
    }
}
