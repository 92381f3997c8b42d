package io.sparrowkv.llm.model;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.DType;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * What a decoder model computes, read from its {@code config.json} (and, for the end-of-sequence ids, {@code generation_config.json}).
 *
 * @param layers decoder layers
 * @param hidden width of the residual stream
 * @param intermediate width of the MLP
 * @param heads query heads
 * @param kvHeads key/value heads; divides {@code heads}
 * @param dHead width of a head, even
 * @param vocabulary number of token ids
 * @param maxPositions longest context the model was made for, in tokens
 * @param rmsNormEps added to the mean square in every RMSNorm
 * @param rotaryPrecision F32, F16 or BF16: what the rotary frequencies are rounded to. A model that was cast to a lower precision
 *     as a whole computes with frequencies of that precision ever after, those of the reference outputs among them
 * @param slidingWindows of each layer: how many tokens a query sees, itself included; 0 for all
 * @param queryKeyValueBias whether the three input projections of attention have biases
 * @param outputBias whether attention's output projection has a bias
 * @param mlpBias whether the MLP's projections have biases
 * @param queryKeyNorm whether each head's query and key go through an RMSNorm before RoPE
 * @param tiedHead whether the output head is the embedding table
 * @param endOfSequence ids that end a text; may be empty
 */
public record ModelConfig(
        Family family,
        int layers,
        int hidden,
        int intermediate,
        int heads,
        int kvHeads,
        int dHead,
        int vocabulary,
        int maxPositions,
        float rmsNormEps,
        double ropeTheta,
        RopeScaling ropeScaling,
        DType rotaryPrecision,
        List<Integer> slidingWindows,
        boolean queryKeyValueBias,
        boolean outputBias,
        boolean mlpBias,
        boolean queryKeyNorm,
        boolean tiedHead,
        List<Integer> endOfSequence) {
    /** Name of the file in a model's folder. */
    public static final String FILE = "config.json";

    public ModelConfig {
        slidingWindows = List.copyOf(slidingWindows);
        endOfSequence = List.copyOf(endOfSequence);
    }

    /**
     * Reads the configuration of a model's folder, in the form that transformers 4 wrote or in that of transformers 5.
     *
     * @throws InvalidInputException when it is missing, a value is absurd, or it asks for what is not built: each by name
     */
    public static ModelConfig read(Path folder) {
        return ModelConfigReader.read(folder);
    }

    /** What attention needs to know of the model. */
    public AttentionShape attentionShape() {
        float scale = (float) (1 / Math.sqrt(dHead));
        return new AttentionShape(layers, heads, kvHeads, dHead, scale, slidingWindows);
    }

    /** Rotary angle of one position for each pair of a vector, {@code [dHead / 2]}. */
    public float[] inverseFrequencies() {
        return ropeScaling.inverseFrequencies(ropeTheta, dHead, rotaryPrecision);
    }

    /** Everything that decides what the model computes, as one line: equal for copies of a model in other forms
     * and precisions. */
    String canonical() {
        return String.format(
                Locale.ROOT,
                "layers=%d hidden=%d intermediate=%d heads=%d/%d dHead=%d vocabulary=%d eps=%s theta=%s scaling=%s windows=%s"
                        + " bias=%b/%b/%b norm=%b tied=%b",
                layers,
                hidden,
                intermediate,
                heads,
                kvHeads,
                dHead,
                vocabulary,
                rmsNormEps,
                ropeTheta,
                ropeScaling,
                slidingWindows,
                queryKeyValueBias,
                outputBias,
                mlpBias,
                queryKeyNorm,
                tiedHead);
    }
}
