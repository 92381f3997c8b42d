package io.sparrowkv.sae;

/**
 * One place whose vectors share a dictionary: a layer's keys or values, of all its KV heads or of one.
 *
 * @param layer index of the decoder layer, from 0
 * @param kind keys or values
 * @param head index of the KV head, or {@link #ALL_HEADS} when the layer's KV heads share the dictionary
 */
public record Site(int layer, VectorKind kind, int head) implements Comparable<Site> {
    /** {@link #head} of a site that holds the vectors of all the layer's KV heads. */
    public static final int ALL_HEADS = -1;

    public Site {
        if (layer < 0 || head < ALL_HEADS) {
            throw new IllegalArgumentException("layer " + layer + ", head " + head);
        }
    }

    /** The site of a whole layer: every KV head's vectors of one kind. */
    public static Site of(int layer, VectorKind kind) {
        return new Site(layer, kind, ALL_HEADS);
    }

    /** The name used for folders and in messages, such as {@code layer.03.key} or {@code layer.03.key.head.1}. */
    public String label() {
        String base = "layer.%02d.%s".formatted(layer, kind.label());
        return head == ALL_HEADS ? base : base + ".head." + head;
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
