package io.sparrowkv.attention;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The codes of one layer as a {@link CodeReader} takes them.
 *
 * @param shape heads, width and scale of attention
 * @param keys dictionaries of the keys, after RoPE: one for all KV heads, or one for each
 * @param values dictionaries of the values: one for all KV heads, or one for each
 * @param keyLayout how a block of keys is laid out
 * @param valueLayout how a block of values is laid out
 * @param tokens most tokens
 */
public record CodedLayer(
        AttentionShape shape,
        List<Dictionary> keys,
        List<Dictionary> values,
        CodeBlockLayout keyLayout,
        CodeBlockLayout valueLayout,
        int tokens) {
    public CodedLayer {
        keys = List.copyOf(keys);
        values = List.copyOf(values);
        requireFit(shape, keys, keyLayout);
        requireFit(shape, values, valueLayout);
        if (tokens < 1) {
            throw new IllegalArgumentException("tokens " + tokens);
        }
        if (keys.stream().anyMatch(dictionary -> dictionary.rope() != RopeStage.POST)) {
            throw new IllegalArgumentException(
                    keys.getFirst().site() + ": keys coded before RoPE depend on their positions when they are read");
        }
    }

    /**
     * One layer of a cache.
     *
     * @param stored pairs of its codes
     * @param tokens most tokens
     * @throws InvalidInputException when the dictionaries code the KV heads together
     */
    public static CodedLayer of(
            AttentionShape shape, DictionarySet dictionaries, int layer, Budgets stored, int tokens) {
        if (dictionaries.joint()) {
            throw new InvalidInputException(
                    "the dictionaries code a layer's KV heads together, which readers of codes cannot; use some that were trained with --heads shared or each");
        }
        return new CodedLayer(
                shape,
                byHead(shape, dictionaries, layer, VectorKind.KEY),
                byHead(shape, dictionaries, layer, VectorKind.VALUE),
                layout(shape, layer, VectorKind.KEY, stored),
                layout(shape, layer, VectorKind.VALUE, stored),
                tokens);
    }

    /** Blocks that the tokens fill. */
    public int blocks() {
        return Math.ceilDiv(tokens, CodeBlockLayout.TOKENS);
    }

    private static List<Dictionary> byHead(
            AttentionShape shape, DictionarySet dictionaries, int layer, VectorKind kind) {
        return IntStream.range(0, shape.kvHeads())
                .mapToObj(head -> dictionaries.of(layer, kind, head))
                .distinct()
                .toList();
    }

    private static CodeBlockLayout layout(AttentionShape shape, int layer, VectorKind kind, Budgets stored) {
        return new CodeBlockLayout(Site.of(layer, kind), shape.kvHeads(), shape.dHead(), stored.of(layer, kind));
    }

    private static void requireFit(AttentionShape shape, List<Dictionary> dictionaries, CodeBlockLayout layout) {
        boolean count = dictionaries.size() == 1 || dictionaries.size() == shape.kvHeads();
        if (!count
                || layout.kvHeads() != shape.kvHeads()
                || layout.dHead() != shape.dHead()
                || dictionaries.stream()
                        .anyMatch(dictionary -> dictionary.dHead() != shape.dHead()
                                || dictionary.latents()
                                        != dictionaries.getFirst().latents()
                                || dictionary.latents() < layout.budget())) {
            throw new IllegalArgumentException(
                    "%d dictionaries and %s for %s".formatted(dictionaries.size(), layout, shape));
        }
    }
}
