package io.sparrowkv.attention;

import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.VectorKind;
import java.nio.file.Path;
import java.util.List;
import java.util.function.ToIntFunction;

/**
 * A profile of sparse codes: budgets by layer and kind, and the refinement and the coefficients that they were found with.
 *
 * @param model fingerprint of the model
 * @param dictionaries fingerprint of its dictionaries
 * @param refinement what is done to codes before they are kept
 * @param coefficients what their coefficients are kept as
 * @param bytes coded bytes of a token and KV head, keys and values, mean of the layers
 * @param keys what is kept of a key, by layer
 * @param values what is kept of a value, by layer
 */
public record CodeProfile(
        String model,
        String dictionaries,
        Refinement refinement,
        Coefficients coefficients,
        double bytes,
        List<Kept> keys,
        List<Kept> values)
        implements CacheProfile {
    /**
     * What is kept of a site's vectors.
     *
     * @param pairs of a code; {@link Budgets#DENSE} keeps vectors as fp16
     * @param residualBits bits of each number of what the pairs leave
     */
    public record Kept(int pairs, int residualBits) {
        /** Pairs, and bits of the residual if it is kept: {@code 8+1}. */
        public String label() {
            return residualBits == 0 ? Integer.toString(pairs) : pairs + "+" + residualBits;
        }
    }

    public CodeProfile {
        keys = List.copyOf(keys);
        values = List.copyOf(values);
        if (keys.isEmpty() || keys.size() != values.size()) {
            throw new IllegalArgumentException("budgets of %d and %d layers".formatted(keys.size(), values.size()));
        }
    }

    /**
     * Reads a profile of sparse codes.
     *
     * @throws InvalidInputException when the file is missing, broken, of another version, or a quantizer's
     */
    public static CodeProfile read(Path file) {
        return switch (CacheProfile.read(file)) {
            case CodeProfile codes -> codes;
            case QuantizerProfile quantizers ->
                throw new InvalidInputException(
                        "%s: keeps vectors quantized, and sparse codes are needed here; make a profile of codes with 'sparrow calibrate'"
                                .formatted(file));
        };
    }

    /** What is kept of a layer's keys or values. */
    public Kept of(int layer, VectorKind kind) {
        return switch (kind) {
            case KEY -> keys.get(layer);
            case VALUE -> values.get(layer);
        };
    }

    /** The budgets of all layers. */
    public Budgets budgets() {
        return byLayer(Kept::pairs);
    }

    /** The bits of residuals of all layers. */
    public Budgets residualBits() {
        return byLayer(Kept::residualBits);
    }

    private Budgets byLayer(ToIntFunction<Kept> part) {
        Budgets budgets = Budgets.of(part.applyAsInt(keys.getFirst()), part.applyAsInt(values.getFirst()));
        for (int layer = 1; layer < keys.size(); layer++) {
            for (VectorKind kind : VectorKind.values()) {
                budgets = budgets.with(layer, kind, part.applyAsInt(of(layer, kind)));
            }
        }
        return budgets;
    }

    /** These options with the profile's budgets, refinement, coefficients and residuals. */
    public CacheOptions applyTo(CacheOptions options) {
        return options.withBudgets(budgets())
                .withRefinement(refinement)
                .withCoefficients(coefficients)
                .withResidualBits(residualBits());
    }

    /**
     * Refuses a model or dictionaries other than those that the profile was made for.
     *
     * @param file where the profile was read from
     * @throws InvalidInputException with both fingerprints
     */
    public void requireFit(Path file, String modelFingerprint, String dictionariesFingerprint) {
        requireModel(file, modelFingerprint);
        ProfileJson.requireSame(
                file, ProfileJson.DICTIONARIES, dictionaries, "the dictionaries'", dictionariesFingerprint);
    }
}
