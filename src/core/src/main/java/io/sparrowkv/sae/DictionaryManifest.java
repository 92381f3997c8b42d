package io.sparrowkv.sae;

import java.util.Map;

/**
 * What {@code dictionaries.json} says of the dictionaries beside it.
 *
 * @param modelName name of the model they were trained on, for people
 * @param modelFingerprint identity of that model's weights and configuration
 * @param layers decoder layers of the model
 * @param kvHeads KV heads of a layer
 * @param training how they were trained, for people: text, vectors, settings, results
 */
public record DictionaryManifest(
        String modelName, String modelFingerprint, int layers, int kvHeads, Map<String, String> training) {
    public DictionaryManifest {
        if (layers < 1 || kvHeads < 1) {
            throw new IllegalArgumentException("layers " + layers + ", kvHeads " + kvHeads);
        }
        training = Map.copyOf(training);
    }
}
