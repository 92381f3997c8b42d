package io.sparrowkv.cli;

import io.sparrowkv.attention.Budgets;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.CacheProfile;
import io.sparrowkv.attention.CodeProfile;
import io.sparrowkv.attention.QuantizerProfile;
import io.sparrowkv.codec.VectorCodecs;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One codec of a comparison, as it is named on the command line. */
sealed interface CodecSpec {
    /** As written. */
    String name();

    /** Of the cache. */
    CacheOptions options();

    /**
     * A quantizer ({@code q4_0}), with others for some layers ({@code rotated-1+3:rotated-4}), or as {@code sparrow calibrate} chose them
     * by layer and kind ({@code profile:FILE}).
     */
    record Quantized(String name, SiteQuantizers quantizers, CacheOptions options) implements CodecSpec {}

    /**
     * A transform coder ({@code kvtc:68}).
     *
     * @param bytes of a token and KV head
     */
    record Transformed(String name, double bytes, CacheOptions options) implements CodecSpec {}

    /** Sparse codes as {@code sparrow calibrate} chose them ({@code profile:FILE}). */
    record Calibrated(String name, ProfileFile profile, CacheOptions options) implements CodecSpec {}

    /**
     * Sparse codes with their budgets ({@code sparse:8/16}), refined ({@code sparse:8/16+pursuit:64}), with coefficients of 4 bits
     * ({@code sparse:8/16+pursuit:64+4bit}), and with a bit of each number of what the pairs leave ({@code
     * sparse:8/16+pursuit:64+4bit+residual:1}).
     */
    record Sparse(String name, CacheOptions options) implements CodecSpec {
        private static final Pattern FORM = Pattern.compile(
                "sparse:(\\d{1,6})/(\\d{1,6})(?:\\+([a-z][^+]*))?(?:\\+(\\d+)bit(?:\\+residual:([1-4]))?)?");

        private static Sparse of(Matcher parts, CacheOptions common) {
            Budgets budgets = Budgets.of(Integer.parseInt(parts.group(1)), Integer.parseInt(parts.group(2)));
            Refinement refinement = parts.group(3) == null ? Refinement.NONE : Refinement.parse(parts.group(3));
            Coefficients coefficients = parts.group(4) == null ? Coefficients.FP16 : Coefficients.parse(parts.group(4));
            int residualBits = parts.group(5) == null ? 0 : Integer.parseInt(parts.group(5));
            return new Sparse(
                    parts.group(),
                    common.withBudgets(budgets)
                            .withRefinement(refinement)
                            .withCoefficients(coefficients)
                            .withResidualBits(residualBits));
        }
    }

    /** What names a profile. */
    String PROFILE = "profile:";

    /** What names a transform coder. */
    Pattern TRANSFORM = Pattern.compile("kvtc:(\\d{1,4}(?:\\.\\d{1,3})?)");

    /**
     * Reads a name.
     *
     * @param common window, sinks and threads
     * @throws InvalidInputException when it is none
     */
    static CodecSpec parse(String name, CacheOptions common) {
        Optional<LayerQuantizers> quantizers = LayerQuantizers.parse(name);
        if (quantizers.isPresent()) {
            return new Quantized(name, quantizers.get(), common);
        }
        Matcher transform = TRANSFORM.matcher(name);
        if (transform.matches()) {
            return new Transformed(name, Double.parseDouble(transform.group(1)), common);
        }
        if (name.startsWith(PROFILE)) {
            Path file = Path.of(name.substring(PROFILE.length()));
            return switch (CacheProfile.read(file)) {
                case CodeProfile codes -> new Calibrated(name, new ProfileFile(file, codes), codes.applyTo(common));
                case QuantizerProfile chosen -> new Quantized(name, new ProfiledQuantizers(file, chosen), common);
            };
        }
        Matcher sparse = Sparse.FORM.matcher(name);
        if (sparse.matches()) {
            return Sparse.of(sparse, common);
        }
        throw new InvalidInputException(
                "'%s' is no codec; choose from %s, kvtc:BYTES, profile:FILE, or sparse codes such as sparse:8/16, sparse:8/16+pursuit:64 or sparse:8/16+pursuit:64+4bit"
                        .formatted(name, String.join(", ", VectorCodecs.NAMES)));
    }

    /** Whether vectors become codes over dictionaries. */
    default boolean isSparse() {
        return switch (this) {
            case Sparse codes -> true;
            case Calibrated codes -> true;
            case Quantized quantizers -> false;
            case Transformed coder -> false;
        };
    }
}
