package io.sparrowkv.cli;

import io.sparrowkv.attention.QuantizerProfile;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.Site;
import java.nio.file.Path;
import java.util.Map;

/**
 * Quantizers as {@code sparrow calibrate} chose them.
 *
 * @param file where the profile was read from
 */
record ProfiledQuantizers(Path file, QuantizerProfile profile) implements SiteQuantizers {
    @Override
    public String label() {
        return "quantizers of " + file;
    }

    @Override
    public Map<Site, VectorCodec> codecs(CausalLm lm) {
        profile.requireModel(file, lm.fingerprint());
        return profile.codecs(lm.config().dHead());
    }
}
