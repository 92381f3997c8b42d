package io.sparrowkv.cli;

import io.sparrowkv.codec.TransformCodec;
import io.sparrowkv.codec.TransformFit;
import io.sparrowkv.eval.SiteSamples;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.sae.Site;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * The text that transform codecs learn from.
 *
 * @param file the text, of which the last {@value #MOST} tokens are read, or as many as there are
 * @param before tokens at its beginning that are evaluated, and so not to be learnt from; 0 for another text than the evaluated one
 */
record TransformText(Path file, int before) {
    private static final int MOST = 8192;
    private static final int LEAST = 1024;
    private static final int CONTEXT = 1024;

    /**
     * Learns codecs of a model, all from one reading.
     *
     * @param bytes of a token and KV head, of each codec
     * @return the codecs of all sites, by their bytes
     * @throws InvalidInputException when the text is too short
     */
    Map<Double, Map<Site, TransformCodec>> codecs(CausalLm lm, Set<Double> bytes) {
        int[] ids = EvalTextArguments.ids(lm, file, 2);
        if (ids.length - before < LEAST) {
            throw new InvalidInputException(
                    "%s: has %d tokens, where kvtc learns from at least %d besides the %d that are evaluated; name a text for it with --kvtc-text"
                            .formatted(file, ids.length, LEAST, before));
        }
        int[] last = Arrays.copyOfRange(ids, Math.max(before, ids.length - MOST), ids.length);
        int context = Math.min(CONTEXT, lm.config().maxPositions());
        try (ModelVectorSource source = new ModelVectorSource(lm, last, context);
                SiteSamples samples = SiteSamples.read(source)) {
            TransformFit fit = TransformFit.of(samples.bySite(), lm.config().dHead());
            return bytes.stream().collect(Collectors.toMap(Function.identity(), fit::codecs));
        }
    }
}
