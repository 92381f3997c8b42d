package io.sparrowkv.llm.model;

import java.nio.file.Path;

/**
 * What a model is, told from its checked files without loading it.
 *
 * @param config what it computes
 * @param fingerprint as {@link CausalLm#fingerprint}
 * @param parameters number of weights
 * @param weightBytes of the weights in their files
 */
public record ModelDescription(ModelConfig config, String fingerprint, long parameters, long weightBytes) {
    /**
     * Reads and checks the headers of a model's files.
     *
     * @throws io.sparrowkv.io.InvalidInputException as {@link CausalLm#load}
     */
    public static ModelDescription read(Path folder) {
        ModelConfig config = ModelConfig.read(folder);
        try (ModelWeights weights = ModelWeights.open(folder, config)) {
            return new ModelDescription(config, weights.fingerprint(), weights.parameters(), weights.byteSize());
        }
    }
}
