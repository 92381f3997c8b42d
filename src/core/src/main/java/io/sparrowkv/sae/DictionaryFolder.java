package io.sparrowkv.sae;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.JsonFields;
import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.SafetensorsFile;
import io.sparrowkv.safetensors.SafetensorsWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import tools.jackson.databind.json.JsonMapper;

/**
 * The folder of one dictionary, in the two layouts that such dictionaries are passed around in.
 *
 * <p>SAELens, read and written: {@code cfg.json} ({@code architecture: topk}, {@code d_in}, {@code d_sae}, {@code k}, …) and {@code
 * sae_weights.safetensors} with {@code W_enc [d_in, d_sae]}, {@code W_dec [d_sae, d_in]}, {@code b_enc [d_sae]}, {@code b_dec [d_in]};
 * beside them, where the dictionary has a metric, {@code metric.safetensors}.
 * Its older configurations, with {@code activation_fn_str} in place of {@code architecture}, are read too.
 *
 * <p>sparsify, read: {@code cfg.json} ({@code activation: topk}, {@code d_in}, {@code num_latents} or {@code expansion_factor}) and
 * {@code sae.safetensors} with {@code encoder.weight [d_sae, d_in]}, {@code encoder.bias}, {@code W_dec [d_sae, d_in]}, {@code b_dec}.
 *
 * <p>Weights may be F32, F16 or BF16. What those layouts can say and a {@link Dictionary} cannot (another activation, a skip
 * connection, inputs normalised at run time) is refused by name; an uncentred input and coefficients scaled by the atoms' length are
 * folded into the weights, which changes no code.
 */
public final class DictionaryFolder {
    static final String CONFIG = "cfg.json";
    static final String WEIGHTS = "sae_weights.safetensors";
    static final String SPARSIFY_WEIGHTS = "sae.safetensors";

    private static final JsonMapper JSON = JsonMapper.shared();
    private static final int MAX_WIDTH = 1 << 16;
    private static final int MAX_LATENTS = 1 << 24;
    private static final float LARGEST_F16 = 65_504f;

    private DictionaryFolder() {}

    /**
     * Reads a dictionary of either layout; the caller closes it.
     *
     * @param site whose vectors it codes: the layouts do not say it in a form that could be trusted
     * @param rope where the keys were taken
     * @throws InvalidInputException when a file is missing or broken, or holds something other than a Top-K autoencoder
     */
    public static Dictionary read(Path folder, Site site, RopeStage rope) {
        JsonFields config = JsonFields.read(folder.resolve(CONFIG));
        boolean sparsify = !Files.exists(folder.resolve(WEIGHTS)) && Files.exists(folder.resolve(SPARSIFY_WEIGHTS));
        return sparsify ? readSparsify(folder, config, site, rope) : readSaeLens(folder, config, site, rope);
    }

    /**
     * Writes a dictionary in SAELens' layout.
     *
     * @param budget the largest that it was trained for, {@code k} in the configuration
     * @param dtype F32 or F16
     * @throws InvalidInputException when a weight is not finite, or beyond what F16 holds
     */
    public static void write(Path folder, Dictionary dictionary, int budget, DType dtype, String modelName) {
        checkRange(folder, dictionary, dtype);
        long dHead = dictionary.dHead();
        long latents = dictionary.latents();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment transposed =
                    arena.allocate(dictionary.encoderWeights().byteSize(), 64);
            transpose(dictionary.encoderWeights(), transposed, dictionary.latents(), dictionary.dHead());
            new SafetensorsWriter()
                    .add("W_enc", dtype, new long[] {dHead, latents}, transposed)
                    .add("W_dec", dtype, new long[] {latents, dHead}, dictionary.decoderWeights())
                    .add("b_enc", dtype, new long[] {latents}, dictionary.encoderBias())
                    .add("b_dec", dtype, new long[] {dHead}, dictionary.decoderBias())
                    .write(folder.resolve(WEIGHTS));
        }
        dictionary.metric().ifPresent(metric -> MetricFile.write(folder, metric));
        byte[] config = JSON.writerWithDefaultPrettyPrinter()
                .writeValueAsString(config(dictionary, budget, dtype, modelName))
                .concat("\n")
                .getBytes(StandardCharsets.UTF_8);
        AtomicFile.write(folder.resolve(CONFIG), config);
    }

    private static Map<String, Object> config(Dictionary dictionary, int budget, DType dtype, String modelName) {
        Map<String, Object> metadata = new LinkedHashMap<>();
        metadata.put("model_name", modelName);
        metadata.put("hook_name", hookName(dictionary.site(), dictionary.rope()));
        metadata.put(
                "hook_head_index",
                dictionary.site().heads() == Heads.EACH ? dictionary.site().head() : null);
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("architecture", "topk");
        config.put("d_in", dictionary.dHead());
        config.put("d_sae", dictionary.latents());
        config.put("k", budget);
        config.put("dtype", dtype == DType.F16 ? "float16" : "float32");
        config.put("device", "cpu");
        config.put("apply_b_dec_to_input", true);
        config.put("rescale_acts_by_decoder_norm", false);
        config.put("normalize_activations", "none");
        // SAELens' name for heads side by side in one vector.
        config.put("reshape_activations", dictionary.site().heads() == Heads.JOINT ? "hook_z" : "none");
        config.put("metadata", metadata);
        return config;
    }

    /** The name that TransformerLens has for the place. */
    private static String hookName(Site site, RopeStage rope) {
        String place = site.kind() == VectorKind.VALUE ? "hook_v" : rope == RopeStage.PRE ? "hook_k" : "hook_rot_k";
        return "blocks.%d.attn.%s".formatted(site.layer(), place);
    }

    private static Dictionary readSaeLens(Path folder, JsonFields config, Site site, RopeStage rope) {
        String activation = config.optionalString("activation_fn_str").orElse("relu");
        String architecture = config.optionalString("architecture").orElse("standard");
        if (!architecture.equals("topk") && !(architecture.equals("standard") && activation.equals("topk"))) {
            throw config.invalid(
                    config.has("architecture") ? "architecture" : "activation_fn_str",
                    "only Top-K autoencoders ('topk') can be used");
        }
        String normalisation = config.optionalString("normalize_activations").orElse("none");
        if (!normalisation.equals("none")) {
            throw config.invalid(
                    "normalize_activations", "fold the factor into the weights in SAELens, so that it is 'none'");
        }
        int dHead = config.positive("d_in", MAX_WIDTH);
        int latents = config.positive("d_sae", MAX_LATENTS);
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(WEIGHTS));
                Arena arena = Arena.ofConfined()) {
            file.tensor("W_enc", dHead, latents);
            file.tensor("W_dec", latents, dHead);
            file.tensor("b_enc", latents);
            file.tensor("b_dec", dHead);
            Optional<Metric> metric = MetricFile.read(folder, dHead);
            return complete(Dictionary.allocate(site, rope, dHead, latents, metric), file, dictionary -> {
                MemorySegment transposed =
                        arena.allocate(dictionary.encoderWeights().byteSize(), 64);
                file.readFloats("W_enc", transposed);
                transpose(transposed, dictionary.encoderWeights(), dHead, latents);
                file.readFloats("W_dec", dictionary.decoderWeights());
                file.readFloats("b_enc", dictionary.encoderBias());
                file.readFloats("b_dec", dictionary.decoderBias());
                if (!config.flag("apply_b_dec_to_input", true)) {
                    foldCentre(dictionary);
                }
                if (config.flag("rescale_acts_by_decoder_norm", false)) {
                    foldLengths(dictionary);
                }
            });
        }
    }

    private static Dictionary readSparsify(Path folder, JsonFields config, Site site, RopeStage rope) {
        if (!config.optionalString("activation").orElse("topk").equals("topk")) {
            throw config.invalid("activation", "only Top-K autoencoders ('topk') can be used");
        }
        for (String extra : new String[] {"transcode", "skip_connection"}) {
            if (config.flag(extra, false)) {
                throw config.invalid(extra, "only plain autoencoders can be used");
            }
        }
        int dHead = config.positive("d_in", MAX_WIDTH);
        int latents = config.optionalInteger("num_latents", 0, MAX_LATENTS).orElse(0);
        if (latents == 0) {
            latents = Math.multiplyExact(dHead, config.positive("expansion_factor", MAX_LATENTS / dHead));
        }
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve(SPARSIFY_WEIGHTS))) {
            file.tensor("encoder.weight", latents, dHead);
            file.tensor("encoder.bias", latents);
            file.tensor("W_dec", latents, dHead);
            file.tensor("b_dec", dHead);
            return complete(Dictionary.allocate(site, rope, dHead, latents), file, dictionary -> {
                file.readFloats("encoder.weight", dictionary.encoderWeights());
                file.readFloats("encoder.bias", dictionary.encoderBias());
                file.readFloats("W_dec", dictionary.decoderWeights());
                file.readFloats("b_dec", dictionary.decoderBias());
            });
        }
    }

    @FunctionalInterface
    private interface Filling {
        void fill(Dictionary dictionary);
    }

    /** Fills a new dictionary and checks it; closes it when that fails. */
    private static Dictionary complete(Dictionary dictionary, SafetensorsFile file, Filling filling) {
        try {
            filling.fill(dictionary);
            checkFinite(file.path(), "W_enc", dictionary.encoderWeights());
            checkFinite(file.path(), "W_dec", dictionary.decoderWeights());
            checkFinite(file.path(), "b_enc", dictionary.encoderBias());
            checkFinite(file.path(), "b_dec", dictionary.decoderBias());
            return dictionary;
        } catch (RuntimeException e) {
            dictionary.close();
            throw e;
        }
    }

    private static void checkRange(Path folder, Dictionary dictionary, DType dtype) {
        checkFinite(folder, "W_enc", dictionary.encoderWeights());
        checkFinite(folder, "W_dec", dictionary.decoderWeights());
        checkFinite(folder, "b_enc", dictionary.encoderBias());
        checkFinite(folder, "b_dec", dictionary.decoderBias());
        if (dtype == DType.F16) {
            for (MemorySegment weights : new MemorySegment[] {
                dictionary.encoderWeights(),
                dictionary.decoderWeights(),
                dictionary.encoderBias(),
                dictionary.decoderBias()
            }) {
                for (long i = 0; i < weights.byteSize() / Float.BYTES; i++) {
                    if (Math.abs(weights.getAtIndex(JAVA_FLOAT, i)) > LARGEST_F16) {
                        throw new InvalidInputException(
                                "%s: weight %s is beyond what 16 bits hold; store the dictionary as F32"
                                        .formatted(folder, weights.getAtIndex(JAVA_FLOAT, i)));
                    }
                }
            }
        }
    }

    private static void checkFinite(Path path, String name, MemorySegment weights) {
        for (long i = 0; i < weights.byteSize() / Float.BYTES; i++) {
            float weight = weights.getAtIndex(JAVA_FLOAT, i);
            if (!Float.isFinite(weight)) {
                throw new InvalidInputException(
                        "%s: %s holds %s at %d; the dictionary is broken, train or download it again"
                                .formatted(path, name, weight, i));
            }
        }
    }

    /** Without centring z = W x + b, which is W (x − c) + (b + W c) with it. */
    private static void foldCentre(Dictionary dictionary) {
        for (int latent = 0; latent < dictionary.latents(); latent++) {
            double bias = dictionary.encoderBias().getAtIndex(JAVA_FLOAT, latent);
            for (int i = 0; i < dictionary.dHead(); i++) {
                long at = (long) latent * dictionary.dHead() + i;
                bias += (double) dictionary.encoderWeights().getAtIndex(JAVA_FLOAT, at)
                        * dictionary.decoderBias().getAtIndex(JAVA_FLOAT, i);
            }
            dictionary.encoderBias().setAtIndex(JAVA_FLOAT, latent, (float) bias);
        }
    }

    /** Coefficients that were multiplied with their atom's length and divided by it again: detectors take it over, atoms lose it. */
    private static void foldLengths(Dictionary dictionary) {
        int dHead = dictionary.dHead();
        for (int latent = 0; latent < dictionary.latents(); latent++) {
            long row = (long) latent * dHead;
            double square = 0;
            for (int i = 0; i < dHead; i++) {
                double weight = dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, row + i);
                square += weight * weight;
            }
            float length = (float) Math.sqrt(square);
            float inverse = length > 0 ? 1 / length : 0;
            for (int i = 0; i < dHead; i++) {
                multiply(dictionary.encoderWeights(), row + i, length);
                multiply(dictionary.decoderWeights(), row + i, inverse);
            }
            multiply(dictionary.encoderBias(), latent, length);
        }
    }

    private static void multiply(MemorySegment weights, long index, float factor) {
        weights.setAtIndex(JAVA_FLOAT, index, weights.getAtIndex(JAVA_FLOAT, index) * factor);
    }

    private static void transpose(MemorySegment from, MemorySegment to, int rows, int columns) {
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                float value = from.getAtIndex(JAVA_FLOAT, (long) row * columns + column);
                to.setAtIndex(JAVA_FLOAT, (long) column * rows + row, value);
            }
        }
    }
}
