package io.sparrowkv.attention;

import io.sparrowkv.codec.TransformCodec;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.util.Map;

/** Sites whose vectors are transform-coded. */
final class TransformedSites implements KvSites {
    private final AttentionShape shape;
    private final Map<Site, TransformCodec> codecs;

    TransformedSites(AttentionShape shape, Map<Site, TransformCodec> codecs, CacheOptions options) {
        options.validate();
        this.shape = shape;
        this.codecs = Map.copyOf(codecs);
        for (Site site : Site.ofLayers(shape.layers())) {
            TransformCodec codec = codecs.get(site);
            if (codec == null || codec.axes().dHead() != shape.dHead()) {
                throw new IllegalArgumentException(
                        "no codec of width %d for %s: %s".formatted(shape.dHead(), site, codec));
            }
        }
    }

    @Override
    public KvSite open(int layer, VectorKind kind, Arena arena) {
        Site site = Site.of(layer, kind);
        return new TransformedSite(site, codecs.get(site), shape.kvHeads());
    }

    @Override
    public long dictionaryBytes() {
        return codecs.values().stream()
                .mapToLong(codec ->
                        (long) (codec.axes().axes().length + codec.axes().mean().length) * Float.BYTES)
                .sum();
    }
}
