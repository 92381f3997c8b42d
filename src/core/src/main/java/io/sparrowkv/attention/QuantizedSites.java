package io.sparrowkv.attention;

import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.util.Map;
import java.util.stream.Collectors;

/** Sites whose vectors are quantized. */
final class QuantizedSites implements KvSites {
    private final AttentionShape shape;
    private final Map<Site, VectorCodec> codecs;

    QuantizedSites(AttentionShape shape, Map<Site, VectorCodec> codecs, CacheOptions options) {
        options.validate();
        this.shape = shape;
        this.codecs = Map.copyOf(codecs);
        for (Site site : Site.ofLayers(shape.layers())) {
            VectorCodec codec = codecs.get(site);
            if (codec == null) {
                throw new IllegalArgumentException("no codec for " + site);
            }
            if (codec.dHead() != shape.dHead()) {
                throw new IllegalArgumentException(
                        "%s: %s of width %d, dHead %d".formatted(site, codec.name(), codec.dHead(), shape.dHead()));
            }
        }
    }

    /** One codec for all sites. */
    static Map<Site, VectorCodec> alike(AttentionShape shape, VectorCodec codec) {
        return Site.ofLayers(shape.layers()).stream().collect(Collectors.toMap(site -> site, site -> codec));
    }

    @Override
    public KvSite open(int layer, VectorKind kind, Arena arena) {
        Site site = Site.of(layer, kind);
        return new QuantizedSite(site, codecs.get(site), shape.kvHeads());
    }

    @Override
    public long dictionaryBytes() {
        return 0;
    }
}
