package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
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
        record Node(long parent, int end, long used, int[] tokens) {}
        Map<Long, Node> nodes = new HashMap<>();
        parts.files().prefixes.forEach((prefix, slot, record) -> {
            if (PrefixRecord.intact(record)) {
                nodes.put(
                        prefix,
                        new Node(
                                PrefixRecord.parent(record),
                                PrefixRecord.end(record),
                                PrefixRecord.used(record),
                                PrefixRecord.tokens(record)));
            }
        });
        Set<Long> continued = new HashSet<>();
        nodes.values().forEach(node -> continued.add(node.parent()));
        List<Sequence> sequences = new ArrayList<>();
        nodes.forEach((prefix, node) -> {
            if (continued.contains(prefix)) {
                return;
            }
            List<Integer> first = new ArrayList<>();
            Node second = node;
            for (Node at = node; at != null; at = nodes.get(at.parent())) {
                first = new ArrayList<>();
                for (int token : at.tokens()) {
                    first.add(token);
                }
                if (at.end() <= store.manifest().profile().sinks()) {
                    for (int token : second.tokens()) {
                        if (second != at) {
                            first.add(token);
                        }
                    }
                    break;
                }
                second = at;
            }
            int layers = store.manifest().profile().layers();
            int slots = 0;
            for (int layer = 0; layer < layers; layer++) {
                slots += parts.files().blocks.contains(prefix, layer) ? 1 : 0;
            }
            boolean resumable = store.manifest().profile().denseBlocks() == 0
                    || parts.files().dense.contains(prefix, layers - 1);
            sequences.add(new Sequence(prefix, Math.max(0, node.end()), node.used(), slots, resumable, first));
        });
        sequences.sort(Comparator.comparingLong(Sequence::usedMillis)
                .reversed()
                .thenComparing(Comparator.comparingInt(Sequence::tokens).reversed())
                .thenComparingLong(Sequence::prefix));
        return sequences;
    }

    /** Checks every checksum, whether it was looked at before or not, and drops what is wrong. */
    public static Verification verify(ChronicleBlockStore store) {
        StoreParts parts = store.parts();
        StoreProfile profile = store.manifest().profile();
        long[] right = new long[3];
        long[] damaged = {0};
        parts.files().blocks.forEach((prefix, layer, slot) -> {
            for (VectorKind kind : VectorKind.values()) {
                CodeBlockLayout layout = parts.layout(Site.of((int) layer, kind));
                check(slot, prefix, kind, parts.offset(layout), layout.byteSize(), right, 0, damaged);
            }
        });
        long vector = (long) profile.kvHeads() * profile.dHead() * Float.BYTES;
        Set<Long> roots = new HashSet<>();
        parts.files().prefixes.forEach((prefix, slot, record) -> {
            if (PrefixRecord.intact(record)) {
                right[2]++;
            } else {
                damaged[0]++;
            }
            if (PrefixRecord.end(record) == profile.sinks()) {
                roots.add(prefix);
            }
        });
        parts.files().dense.forEach((prefix, layer, slot) -> {
            long tokens = roots.contains(prefix) ? profile.sinks() : CodeBlockLayout.TOKENS;
            for (VectorKind kind : VectorKind.values()) {
                check(slot, prefix, kind, parts.denseOffset(kind), tokens * vector, right, 1, damaged);
            }
        });
        return new Verification(right[0], right[1], right[2], damaged[0]);
    }

    private static void check(
            MemorySegment slot,
            long prefix,
            VectorKind kind,
            long offset,
            long bytes,
            long[] right,
            int count,
            long[] damaged) {
        if (!BlockSlot.has(slot, kind.ordinal())) {
            return;
        }
        if (BlockSlot.prefix(slot) == prefix && BlockSlot.verify(slot, kind.ordinal(), offset, bytes)) {
            right[count]++;
        } else {
            BlockSlot.drop(slot, kind.ordinal());
            damaged[0]++;
        }
    }
}
