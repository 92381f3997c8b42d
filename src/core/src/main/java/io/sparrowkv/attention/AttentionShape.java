package io.sparrowkv.attention;

import java.util.Collections;
import java.util.List;

/**
 * What attention needs to know of a model.
 *
 * @param layers decoder layers
 * @param heads query heads of a layer
 * @param kvHeads key/value heads of a layer; query head h reads KV head h / (heads / kvHeads)
 * @param dHead width of a head's vectors
 * @param scale factor of q·k, usually 1/√dHead
 * @param slidingWindows of each layer: a query at position p sees the tokens t with p − t &lt; window; {@link #UNLIMITED}
 *     where it sees all
 */
public record AttentionShape(int layers, int heads, int kvHeads, int dHead, float scale, List<Integer> slidingWindows) {
    /** A layer without a sliding window. */
    public static final int UNLIMITED = 0;

    public AttentionShape {
        if (layers < 1 || heads < 1 || kvHeads < 1 || dHead < 1 || heads % kvHeads != 0 || !(scale > 0)) {
            throw new IllegalArgumentException("layers %d, heads %d, kvHeads %d, dHead %d, scale %s"
                    .formatted(layers, heads, kvHeads, dHead, scale));
        }
        slidingWindows = List.copyOf(slidingWindows);
        if (slidingWindows.size() != layers || slidingWindows.stream().anyMatch(w -> w < UNLIMITED)) {
            throw new IllegalArgumentException(layers + " layers, sliding windows " + slidingWindows);
        }
    }

    /** A shape whose layers all see the whole sequence, with the usual scale 1/√dHead. */
    public static AttentionShape of(int layers, int heads, int kvHeads, int dHead) {
        return new AttentionShape(
                layers, heads, kvHeads, dHead, (float) (1 / Math.sqrt(dHead)), Collections.nCopies(layers, UNLIMITED));
    }

    /** Query heads that read one KV head. */
    public int group() {
        return heads / kvHeads;
    }

    /** Bytes of one token's keys and values in a dense fp16 cache, all layers. */
    public long denseFp16BytesPerToken() {
        return 2L * Short.BYTES * layers * kvHeads * dHead;
    }
}
