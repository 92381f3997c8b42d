package io.sparrowkv.attention;

import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;

/** Sites whose vectors are quantized. */
final class QuantizedSites implements KvSites {
    private final AttentionShape shape;
    private final VectorCodec codec;

    QuantizedSites(AttentionShape shape, VectorCodec codec, CacheOptions options) {
        options.validate();
        if (codec.dHead() != shape.dHead()) {
            throw new IllegalArgumentException(
                    "%s of width %d, dHead %d".formatted(codec.name(), codec.dHead(), shape.dHead()));
        }
        this.shape = shape;
        this.codec = codec;
    }

    @Override
    public KvSite open(int layer, VectorKind kind, Arena arena) {
        return new QuantizedSite(Site.of(layer, kind), codec, shape.kvHeads());
    }

    @Override
    public long dictionaryBytes() {
        return 0;
    }
}
