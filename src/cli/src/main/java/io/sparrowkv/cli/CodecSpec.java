package io.sparrowkv.cli;

import io.sparrowkv.attention.Budgets;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * One codec of a comparison, as it is named on the command line: a quantizer ({@code q4_0}), with others for some layers ({@code
 * rotated-1+3:rotated-4}), or {@code sparse:8/16}, sparse codes with
 * their budgets, {@code sparse:8/16+pursuit:64}, the same refined, and {@code sparse:8/16+pursuit:64+4bit}, with coefficients of 4 bits; {@code +residual:1} may follow, a bit of each number of what the pairs leave.
 *
 * {@code kvtc:68} is a transform coder of 68 bytes a token and KV head, {@code profile:FILE} what {@code sparrow calibrate} found.
 *
 * @param name as written
 * @param quantizer vector codecs of the layers; empty for others
 * @param transformBytes bytes of a transform coder; empty for others
 * @param profile the file of a profile, and what it says; empty for others
 * @param options of the cache
 */
record CodecSpec(
        String name,
        Optional<LayerQuantizers> quantizer,
        Optional<Double> transformBytes,
        Optional<ProfileFile> profile,
        CacheOptions options) {
    private static final String PROFILE = "profile:";

    private static final Pattern TRANSFORM = Pattern.compile("kvtc:(\\d{1,4}(?:\\.\\d{1,3})?)");

    private static final Pattern SPARSE = Pattern.compile(
            "sparse:(\\d{1,6})/(\\d{1,6})(?:\\+([a-z][^+]*))?(?:\\+(\\d+)bit(?:\\+residual:([1-4]))?)?");

    /**
     * Reads a name.
     *
     * @param common window, sinks and threads
     * @throws InvalidInputException when it is none
     */
    static CodecSpec parse(String name, CacheOptions common) {
        Optional<LayerQuantizers> quantizer = LayerQuantizers.parse(name);
        if (quantizer.isPresent()) {
            return new CodecSpec(name, quantizer, Optional.empty(), Optional.empty(), common);
        }
        Matcher transform = TRANSFORM.matcher(name);
        if (transform.matches()) {
            double bytes = Double.parseDouble(transform.group(1));
            return new CodecSpec(name, Optional.empty(), Optional.of(bytes), Optional.empty(), common);
        }
        if (name.startsWith(PROFILE)) {
            ProfileFile profile = ProfileFile.read(Path.of(name.substring(PROFILE.length())));
            CacheOptions options = profile.profile().applyTo(common);
            return new CodecSpec(name, Optional.empty(), Optional.empty(), Optional.of(profile), options);
        }
        Matcher sparse = SPARSE.matcher(name);
        if (!sparse.matches()) {
            throw new InvalidInputException(
                    "'%s' is no codec; choose from %s, kvtc:BYTES, profile:FILE, or sparse codes such as sparse:8/16, sparse:8/16+pursuit:64 or sparse:8/16+pursuit:64+4bit"
                            .formatted(name, String.join(", ", VectorCodecs.NAMES)));
        }
        Budgets budgets = Budgets.of(Integer.parseInt(sparse.group(1)), Integer.parseInt(sparse.group(2)));
        Refinement refinement = sparse.group(3) == null ? Refinement.NONE : Refinement.parse(sparse.group(3));
        Coefficients coefficients = sparse.group(4) == null ? Coefficients.FP16 : Coefficients.parse(sparse.group(4));
        int residualBits = sparse.group(5) == null ? 0 : Integer.parseInt(sparse.group(5));
        return new CodecSpec(
                name,
                Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                common.withBudgets(budgets)
                        .withRefinement(refinement)
                        .withCoefficients(coefficients)
                        .withResidualBits(residualBits));
    }

    boolean isSparse() {
        return quantizer.isEmpty() && transformBytes.isEmpty();
    }
}
