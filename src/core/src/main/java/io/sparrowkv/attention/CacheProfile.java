package io.sparrowkv.attention;

import io.sparrowkv.io.InvalidInputException;
import java.nio.file.Path;

/**
 * How a model's vectors are best kept under some number of bytes, by layer and kind, as {@code sparrow calibrate} found it: as sparse
 * codes or quantized. A JSON file:
 *
 * <pre>
 * {
 *   "format_version": 3,
 *   "codec": "sparse",
 *   "model_fingerprint": "…",
 *   "bytes": 67.3,
 *   "dictionaries_fingerprint": "…",
 *   "refine": "pursuit:64",
 *   "coefficients": "4",
 *   "layers": [{"key": 16, "key_residual_bits": 1, "value": 12, "value_residual_bits": 0}, …]
 * }
 *
 * {
 *   "format_version": 3,
 *   "codec": "quantized",
 *   "model_fingerprint": "…",
 *   "bytes": 67.3,
 *   "layers": [{"key": "rotated-2", "value": "rotated-1"}, …]
 * }
 * </pre>
 *
 * <p>Version 2, which is read too, knew sparse codes alone and had no {@code codec}.
 */
public sealed interface CacheProfile permits CodeProfile, QuantizerProfile {
    /** Fingerprint of the model. */
    String model();

    /** Coded bytes of a token and KV head, keys and values, mean of the layers. */
    double bytes();

    /**
     * Reads a profile.
     *
     * @throws InvalidInputException when the file is missing, broken, or of another version
     */
    static CacheProfile read(Path file) {
        return ProfileJson.read(file);
    }

    /**
     * Writes the profile, or leaves the file as it was.
     *
     * @throws InvalidInputException when it cannot be written
     */
    default void write(Path file) {
        ProfileJson.write(this, file);
    }

    /**
     * Refuses another model than the one that the profile was made for.
     *
     * @param file where the profile was read from
     * @throws InvalidInputException with both fingerprints
     */
    default void requireModel(Path file, String fingerprint) {
        ProfileJson.requireSame(file, ProfileJson.MODEL, model(), "the model's", fingerprint);
    }
}
