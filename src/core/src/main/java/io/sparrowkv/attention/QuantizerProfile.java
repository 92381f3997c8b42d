package io.sparrowkv.attention;

import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A profile of quantizers, one for each layer's keys and one for its values; {@link SparseCache#quantized} takes what {@link #codecs}
 * gives.
 *
 * @param model fingerprint of the model
 * @param bytes coded bytes of a token and KV head, keys and values, mean of the layers
 * @param keys names of the keys' codecs, by layer, of {@link VectorCodecs#NAMES}
 * @param values names of the values' codecs, by layer
 */
public record QuantizerProfile(String model, double bytes, List<String> keys, List<String> values)
        implements CacheProfile {
    public QuantizerProfile {
        keys = List.copyOf(keys);
        values = List.copyOf(values);
        if (keys.isEmpty() || keys.size() != values.size()) {
            throw new IllegalArgumentException("codecs of %d and %d layers".formatted(keys.size(), values.size()));
        }
    }

    /** The name of the codec of a layer's keys or values. */
    public String of(int layer, VectorKind kind) {
        return switch (kind) {
            case KEY -> keys.get(layer);
            case VALUE -> values.get(layer);
        };
    }

    /**
     * The codecs of all sites.
     *
     * @throws InvalidInputException when one of them does not take vectors of this width
     */
    public Map<Site, VectorCodec> codecs(int dHead) {
        Map<Site, VectorCodec> codecs = new LinkedHashMap<>();
        for (Site site : Site.ofLayers(keys.size())) {
            codecs.put(site, VectorCodecs.of(of(site.layer(), site.kind()), dHead));
        }
        return codecs;
    }
}
