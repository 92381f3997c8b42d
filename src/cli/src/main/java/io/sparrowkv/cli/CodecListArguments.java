package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.SparseCache;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.SparseKvCache;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import picocli.CommandLine.Option;

/** Which codecs are compared, and what of each sequence stays dense whatever the codec. */
final class CodecListArguments {
    private static final String DEFAULT_CODECS = "f16,q8_0,q4_0,rotated-4,rotated-3,rotated-2,rotated-1,"
            + "sparse:8/16,sparse:8/16+refit,sparse:8/16+pursuit:64,sparse:16/16+pursuit:64,sparse:16/32+pursuit:64";

    @Option(
            names = "--codecs",
            paramLabel = "NAME",
            split = ",",
            defaultValue = DEFAULT_CODECS,
            description =
                    "Codecs to compare: f16, q8_0, q4_0, rotated-1 to rotated-4, sparse:K/K and sparse:K/K+REFINEMENT"
                            + " (default: ${DEFAULT-VALUE}).")
    private List<String> codecs;

    @Option(names = "--window", paramLabel = "N", description = "Newest tokens kept dense (default: 128).")
    private int window = CacheOptions.DEFAULT_WINDOW;

    @Option(names = "--sinks", paramLabel = "N", description = "First tokens kept dense (default: 4).")
    private int sinks = CacheOptions.DEFAULT_SINKS;

    /**
     * The codecs in the order given.
     *
     * @throws InvalidInputException when one is none or is named twice
     */
    List<CodecSpec> specs(int threads) {
        CacheOptions common =
                CacheOptions.defaults().withWindow(window).withSinks(sinks).withThreads(threads);
        Set<String> seen = new HashSet<>();
        for (String codec : codecs) {
            if (!seen.add(codec)) {
                throw new InvalidInputException("--codecs: " + codec + " is named twice; keep one");
            }
        }
        return codecs.stream().map(codec -> CodecSpec.parse(codec, common)).toList();
    }

    /**
     * The caches of these codecs.
     *
     * @param sparse makes those of sparse codes
     * @throws InvalidInputException when a codec does not fit the model
     */
    static List<CacheUnderTest> caches(List<CodecSpec> specs, CausalLm lm, SparseCaches sparse) {
        return specs.stream().map(spec -> cache(spec, lm, sparse)).toList();
    }

    private static CacheUnderTest cache(CodecSpec spec, CausalLm lm, SparseCaches sparse) {
        if (spec.isSparse()) {
            spec.options().validate(lm.config().attentionShape(), sparse.dictionaries());
            return new CacheUnderTest(spec.name(), () -> sparse.newCache(spec.options()));
        }
        VectorCodec codec =
                VectorCodecs.of(spec.quantizer().orElseThrow(), lm.config().dHead());
        return new CacheUnderTest(
                spec.name(),
                () -> new SparseKvCache(
                        SparseCache.quantized(lm.config().attentionShape(), lm.rotary(), codec, spec.options())));
    }
}
