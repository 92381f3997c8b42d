package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.io.InvalidInputException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Which codecs are compared, and what of each sequence stays dense whatever the codec. */
final class CodecListArguments {
    private static final String DEFAULT_CODECS = "f16,q8_0,q4_0,rotated-4,rotated-3,rotated-2,rotated-1,"
            + "sparse:8/16,sparse:8/16+pursuit:64,sparse:8/8+pursuit:64+4bit,sparse:10/10+pursuit:64+4bit,"
            + "sparse:16/16+pursuit:64+4bit,sparse:16/16+pursuit:64+8bit,sparse:16/16+pursuit:64,"
            + "sparse:16/32+pursuit:64+4bit,sparse:7/7+pursuit:64+4bit+residual:1";

    @Option(
            names = "--codecs",
            paramLabel = "NAME",
            split = ",",
            defaultValue = DEFAULT_CODECS,
            description =
                    "Codecs to compare: f16, q8_0, q4_0, rotated-1 to rotated-4, which +LAYER:CODEC may follow, kvtc:BYTES (a transform coder, for"
                            + " storage), profile:FILE (of 'sparrow calibrate'), and sparse:K/K, which +REFINEMENT and +4bit, +6bit or +8bit, and"
                            + " +residual:1 to 4, may follow (default: ${DEFAULT-VALUE}).")
    private List<String> codecs;

    @Option(
            names = "--kvtc-text",
            paramLabel = "FILE",
            description =
                    "Text that kvtc learns from, its last 8,192 tokens (default: the evaluated text, behind what is"
                            + " evaluated).")
    private Optional<Path> kvtcText = Optional.empty();

    @Mixin
    private DenseTokensArguments denseTokens;

    /**
     * The text that transform codecs learn from.
     *
     * @param evaluated the text of the evaluation
     * @param before its first tokens, which are evaluated
     */
    TransformText transformText(Path evaluated, int before) {
        return kvtcText.map(file -> new TransformText(file, 0)).orElse(new TransformText(evaluated, before));
    }

    /**
     * The codecs in the order given.
     *
     * @throws InvalidInputException when one is none or is named twice
     */
    List<CodecSpec> specs(int threads) {
        CacheOptions common = denseTokens.options(threads);
        Set<String> seen = new HashSet<>();
        for (String codec : codecs) {
            if (!seen.add(codec)) {
                throw new InvalidInputException("--codecs: " + codec + " is named twice; keep one");
            }
        }
        return codecs.stream().map(codec -> CodecSpec.parse(codec, common)).toList();
    }
}
