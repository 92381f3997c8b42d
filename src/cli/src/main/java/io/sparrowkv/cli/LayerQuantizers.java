package io.sparrowkv.cli;

import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.Site;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A quantizer, and others for some layers: {@code rotated-1+3:rotated-4}.
 *
 * @param name of the codec
 * @param byLayer names of the codecs of layers that have another
 */
record LayerQuantizers(String name, Map<Integer, String> byLayer) implements SiteQuantizers {
    private static final Pattern LAYER = Pattern.compile("(\\d{1,6}):(.+)");

    /**
     * Reads such a text.
     *
     * @return empty when it does not begin with a quantizer's name
     * @throws InvalidInputException when what follows that is not of this form
     */
    static Optional<LayerQuantizers> parse(String text) {
        String[] parts = text.split("\\+", -1);
        if (!VectorCodecs.NAMES.contains(parts[0])) {
            return Optional.empty();
        }
        Map<Integer, String> byLayer = new TreeMap<>();
        for (int i = 1; i < parts.length; i++) {
            Matcher matcher = LAYER.matcher(parts[i]);
            if (!matcher.matches() || !VectorCodecs.NAMES.contains(matcher.group(2))) {
                throw new InvalidInputException(
                        "'%s': '%s' is not LAYER:CODEC, such as 3:rotated-4 for layer 3".formatted(text, parts[i]));
            }
            if (byLayer.put(Integer.parseInt(matcher.group(1)), matcher.group(2)) != null) {
                throw new InvalidInputException(
                        "'%s': layer %s is named twice; keep one".formatted(text, matcher.group(1)));
            }
        }
        return Optional.of(new LayerQuantizers(parts[0], byLayer));
    }

    /** The text that {@link #parse} reads. */
    @Override
    public String label() {
        StringBuilder label = new StringBuilder(name);
        byLayer.forEach(
                (layer, codec) -> label.append('+').append(layer).append(':').append(codec));
        return label.toString();
    }

    /** @throws InvalidInputException when a layer is none of the model's, or a codec does not take its vectors */
    @Override
    public Map<Site, VectorCodec> codecs(CausalLm lm) {
        int layers = lm.config().layers();
        for (int layer : byLayer.keySet()) {
            if (layer >= layers) {
                throw new InvalidInputException(
                        "%s: layer %d; choose from 0 to %d".formatted(byLayer.get(layer), layer, layers - 1));
            }
        }
        Map<Site, VectorCodec> codecs = new LinkedHashMap<>();
        for (Site site : Site.ofLayers(layers)) {
            String codec = byLayer.getOrDefault(site.layer(), name);
            codecs.put(site, VectorCodecs.of(codec, lm.config().dHead()));
        }
        return codecs;
    }
}
