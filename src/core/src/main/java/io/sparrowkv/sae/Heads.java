package io.sparrowkv.sae;

import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** How a layer's KV heads are coded: what of their keys, or of their values, is one vector, and which vectors share a dictionary. */
public enum Heads {
    /** Each head's vector has a code, all over one dictionary. */
    SHARED,
    /** Each head's vector has a code, over the head's own dictionary. */
    EACH,
    /** The vectors of a token's heads, side by side, are one vector with one code. */
    JOINT;

    /** The name used in files, options and messages. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The sites of a layer's keys or values. */
    public List<Site> sites(int layer, VectorKind kind, int kvHeads) {
        return switch (this) {
            case SHARED -> List.of(Site.of(layer, kind));
            case EACH ->
                IntStream.range(0, kvHeads)
                        .mapToObj(head -> new Site(layer, kind, head))
                        .toList();
            case JOINT -> List.of(Site.joint(layer, kind));
        };
    }

    /**
     * Width of a site's vectors.
     *
     * @param kvHeads KV heads of a layer
     * @param dHead width of a head's vectors
     */
    public int width(int kvHeads, int dHead) {
        return this == JOINT ? Math.multiplyExact(kvHeads, dHead) : dHead;
    }

    /** Vectors of a site that one token has. */
    public int vectorsOfToken(int kvHeads) {
        return this == SHARED ? kvHeads : 1;
    }
}
