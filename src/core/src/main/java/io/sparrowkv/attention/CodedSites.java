package io.sparrowkv.attention;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.Float16Codec;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockStore;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** Sites whose vectors are coded over a model's dictionaries, but for those that the budgets leave as fp16. */
final class CodedSites implements KvSites {
    private final AttentionShape shape;
    private final DictionarySet dictionaries;
    private final BlockStore store;
    private final CacheOptions options;
    private final long sequence;
    private final int largestBudget;
    private final int mostLatents;
    private MemorySegment scratch = MemorySegment.NULL;
    private Optional<ResidualWriter> residuals = Optional.empty();

    CodedSites(AttentionShape shape, DictionarySet dictionaries, BlockStore store, CacheOptions options) {
        options.validate(shape, dictionaries);
        this.shape = shape;
        this.dictionaries = dictionaries;
        this.store = store;
        this.options = options;
        sequence = store.openSequence();
        mostLatents = CacheOptions.mostLatents(dictionaries);
        int largest = IntStream.range(0, shape.layers())
                .flatMap(layer -> IntStream.of(
                        options.stored().of(layer, VectorKind.KEY),
                        options.stored().of(layer, VectorKind.VALUE)))
                .max()
                .orElseThrow();
        largestBudget = Math.max(1, largest);
    }

    @Override
    public KvSite open(int layer, VectorKind kind, Arena arena) {
        if (options.stored().of(layer, kind) == Budgets.DENSE) {
            return new QuantizedSite(Site.of(layer, kind), new Float16Codec(shape.dHead()), shape.kvHeads());
        }
        CodeBlockLayout layout = layout(layer, kind);
        List<Dictionary> byHead = IntStream.range(0, shape.kvHeads())
                .mapToObj(head -> dictionaries.of(layer, kind, head))
                .toList();
        boolean shared = byHead.stream().allMatch(dictionary -> dictionary == byHead.getFirst());
        MemorySegment open =
                options.window() == 0 ? block(layout, arena) : scratch(arena).asSlice(0, layout.byteSize());
        return new CodedSite(
                layout,
                shape.kvHeads(),
                shared ? List.of(byHead.getFirst()) : byHead,
                store,
                sequence,
                open,
                layout.keepsResidual() ? Optional.of(residuals(arena)) : Optional.empty());
    }

    private ResidualWriter residuals(Arena arena) {
        if (residuals.isEmpty()) {
            residuals = Optional.of(new ResidualWriter(arena, dictionaries.dHead(), largestBudget));
        }
        return residuals.get();
    }

    /** Sites that only ever take whole blocks fill the same scratch block, one after the other. */
    private MemorySegment scratch(Arena arena) {
        if (scratch.byteSize() == 0) {
            long largest = 0;
            for (int layer = 0; layer < shape.layers(); layer++) {
                for (VectorKind kind : VectorKind.values()) {
                    if (options.stored().of(layer, kind) != Budgets.DENSE) {
                        largest = Math.max(largest, layout(layer, kind).byteSize());
                    }
                }
            }
            scratch = arena.allocate(largest, CodeBlockLayout.ALIGNMENT);
        }
        return scratch;
    }

    private CodeBlockLayout layout(int layer, VectorKind kind) {
        return options.layout(shape, dictionaries, layer, kind);
    }

    private static MemorySegment block(CodeBlockLayout layout, Arena arena) {
        return arena.allocate(layout.byteSize(), CodeBlockLayout.ALIGNMENT);
    }

    @Override
    public int largestBudget() {
        return largestBudget;
    }

    @Override
    public int mostLatents() {
        return mostLatents;
    }

    @Override
    public int residualNumbers() {
        boolean kept = IntStream.range(0, shape.layers())
                .anyMatch(layer -> options.residualBits().of(layer, VectorKind.KEY) > 0
                        || options.residualBits().of(layer, VectorKind.VALUE) > 0);
        return kept ? dictionaries.dHead() : 0;
    }

    @Override
    public long dictionaryBytes() {
        return dictionaries.byteSize();
    }
}
