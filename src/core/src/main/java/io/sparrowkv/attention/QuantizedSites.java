package io.sparrowkv.attention;

import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.util.List;

/** Sites whose vectors are quantized. */
final class QuantizedSites implements KvSites {
    private final AttentionShape shape;
    private final List<VectorCodec> byLayer;

    QuantizedSites(AttentionShape shape, List<VectorCodec> byLayer, CacheOptions options) {
        options.validate();
        if (byLayer.size() != shape.layers()) {
            throw new IllegalArgumentException(byLayer.size() + " codecs for " + shape.layers() + " layers");
        }
        for (VectorCodec codec : byLayer) {
            if (codec.dHead() != shape.dHead()) {
                throw new IllegalArgumentException(
                        "%s of width %d, dHead %d".formatted(codec.name(), codec.dHead(), shape.dHead()));
            }
        }
        this.shape = shape;
        this.byLayer = List.copyOf(byLayer);
    }

    @Override
    public KvSite open(int layer, VectorKind kind, Arena arena) {
        return new QuantizedSite(Site.of(layer, kind), byLayer.get(layer), shape.kvHeads());
    }

    @Override
    public long dictionaryBytes() {
        return 0;
    }
}
