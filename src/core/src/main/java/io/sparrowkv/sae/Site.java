package io.sparrowkv.sae;

import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * One place whose vectors share a dictionary: a layer's keys or values, of all its KV heads, of one, or of all side by side.
 *
 * @param layer index of the decoder layer, from 0
 * @param kind keys or values
 * @param head index of the KV head, or {@link #ALL_HEADS} when the layer's KV heads share the dictionary, or {@link #JOINT_HEADS}
 *     when a token's vectors of all of them, {@code [kvHeads, dHead]}, are one vector
 */
public record Site(int layer, VectorKind kind, int head) implements Comparable<Site> {
    /** {@link #head} of a site that holds the vectors of all the layer's KV heads. */
    public static final int ALL_HEADS = -1;

    /** {@link #head} of a site each of whose vectors is those of all the layer's KV heads, side by side. */
    public static final int JOINT_HEADS = -2;

    public Site {
        if (layer < 0 || head < JOINT_HEADS) {
            throw new IllegalArgumentException("layer " + layer + ", head " + head);
        }
    }

    /** The site of a whole layer: every KV head's vectors of one kind. */
    public static Site of(int layer, VectorKind kind) {
        return new Site(layer, kind, ALL_HEADS);
    }

    /** The keys and values of the first {@code layers} layers, each site a whole layer's; ascending. */
    public static List<Site> ofLayers(int layers) {
        return IntStream.range(0, layers)
                .boxed()
                .flatMap(layer -> Stream.of(VectorKind.values()).map(kind -> of(layer, kind)))
                .toList();
    }

    /** The site of a whole layer whose KV heads are coded together. */
    public static Site joint(int layer, VectorKind kind) {
        return new Site(layer, kind, JOINT_HEADS);
    }

    /** How the layer's KV heads are coded. */
    public Heads heads() {
        return switch (head) {
            case ALL_HEADS -> Heads.SHARED;
            case JOINT_HEADS -> Heads.JOINT;
            default -> Heads.EACH;
        };
    }

    /** The name used for folders and in messages: {@code layer.03.key}, {@code layer.03.key.head.1} or {@code layer.03.key.joint}. */
    public String label() {
        String base = "layer.%02d.%s".formatted(layer, kind.label());
        return switch (heads()) {
            case SHARED -> base;
            case EACH -> base + ".head." + head;
            case JOINT -> base + ".joint";
        };
    }

    @Override
    public int compareTo(Site other) {
        int byLayer = Integer.compare(layer, other.layer);
        int byKind = byLayer != 0 ? byLayer : kind.compareTo(other.kind);
        return byKind != 0 ? byKind : Integer.compare(head, other.head);
    }

    @Override
    public String toString() {
        return label();
    }
}
