package io.sparrowkv.cli;

import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.Site;
import java.util.Map;

/** Quantizers of a model's keys and values, however they were named. */
sealed interface SiteQuantizers permits LayerQuantizers, ProfiledQuantizers {
    /** As reports show them. */
    String label();

    /**
     * The codecs of all sites.
     *
     * @throws io.sparrowkv.io.InvalidInputException when they were chosen for another model, or do not take this one's vectors
     */
    Map<Site, VectorCodec> codecs(CausalLm lm);
}
