package io.sparrowkv.capture;

/**
 * What the vectors of a source are, and how they lie.
 *
 * @param modelName name of the model, for people
 * @param modelFingerprint identity of the model's weights and configuration
 * @param dataFingerprint identity of the text and of its division into chunks: two sources that have it in common give equal chunks
 * @param layers decoder layers of the model
 * @param kvHeads KV heads of a layer
 * @param dHead width of a vector
 * @param chunkTokens most tokens that a chunk holds
 */
public record VectorOrigin(
        String modelName,
        String modelFingerprint,
        String dataFingerprint,
        int layers,
        int kvHeads,
        int dHead,
        int chunkTokens) {
    public VectorOrigin {
        if (layers < 1 || kvHeads < 1 || dHead < 1 || chunkTokens < 1) {
            throw new IllegalArgumentException("layers %d, kvHeads %d, dHead %d, chunkTokens %d: all must be positive"
                    .formatted(layers, kvHeads, dHead, chunkTokens));
        }
    }
}
