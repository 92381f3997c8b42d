package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparrowkv.attention.RotaryEmbedding;
import io.sparrowkv.io.InvalidInputException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A decoder language model in fp32 on the CPU. It holds no sequence: what has been read is in the {@link KvCache} that is passed
 * along, so any number of sequences can take turns. Used by one thread at a time; libtorch's operators use several themselves.
 */
public final class CausalLm implements AutoCloseable {
    private final Path folder;
    private final ModelConfig config;
    private final ModelWeights weights;
    private final NDManager manager;
    private final List<DecoderLayer> layers = new ArrayList<>();
    private final RotaryEmbedding rotary;
    private final RmsNorm finalNorm;
    private final Projection head;
    private final String fingerprint;

    private CausalLm(Path folder, ModelConfig config, ModelWeights weights, NDManager manager) {
        this.folder = folder;
        this.config = config;
        this.weights = weights;
        this.manager = manager;
        rotary = new RotaryEmbedding(config.inverseFrequencies());
        for (int i = 0; i < config.layers(); i++) {
            layers.add(new DecoderLayer(i, config, rotary, LayerWeights.load(i, config, weights, manager)));
        }
        finalNorm = new RmsNorm(weights.vector(WeightNames.FINAL_NORM), config.rmsNormEps());
        head = new Projection(weights.load(manager, WeightNames.head(config)), Optional.empty());
        fingerprint = weights.fingerprint();
    }

    /**
     * Loads the model of a Hugging Face folder.
     *
     * @throws InvalidInputException when a file is missing or damaged, the model is of a kind that is not built, or its weights do not
     *     fit in memory
     */
    public static CausalLm load(Path folder) {
        ModelConfig config = ModelConfig.read(folder);
        ModelWeights weights = ModelWeights.open(folder, config);
        NDManager manager = null;
        try {
            MemoryNeed.require(
                    "the weights of " + folder + " as fp32", weights.widenedByteSize(), "use a smaller model");
            manager = Libtorch.newManager();
            return new CausalLm(folder, config, weights, manager);
        } catch (RuntimeException e) {
            if (manager != null) {
                manager.close();
            }
            weights.close();
            throw e;
        }
    }

    /** The folder it was loaded from. */
    public Path folder() {
        return folder;
    }

    public ModelConfig config() {
        return config;
    }

    /** Identity of what the model computes: equal for copies of it in other forms and precisions. */
    public String fingerprint() {
        return fingerprint;
    }

    /** The rotary embedding of queries and keys; a sparse cache turns by the same. */
    public RotaryEmbedding rotary() {
        return rotary;
    }

    /** Bytes of the weights in their files. */
    public long weightBytes() {
        return weights.byteSize();
    }

    /**
     * Reads a chunk, the tokens that follow those in {@code cache}, and predicts.
     *
     * @param scope manager of the result
     * @param tokens at least one
     * @param lastOnly predict after the last token alone, which saves the product with the vocabulary for the others
     * @return logits {@code [tokens, vocabulary]}, or {@code [1, vocabulary]} of the last
     * @throws InvalidInputException when a token is not of the vocabulary
     */
    public NDArray forward(NDManager scope, int[] tokens, KvCache cache, boolean lastOnly) {
        return forward(scope, tokens, cache, lastOnly, KvProbe.NONE);
    }

    /** As {@link #forward(NDManager, int[], KvCache, boolean)}, with {@code probe} seeing the keys and values of all layers. */
    public NDArray forward(NDManager scope, int[] tokens, KvCache cache, boolean lastOnly, KvProbe probe) {
        try (NDManager chunk = scope.newSubManager()) {
            NDArray hidden = embed(chunk, tokens);
            int position = cache.length();
            for (DecoderLayer layer : layers) {
                layer.forward(hidden, position, cache, probe);
            }
            NDArray rows = lastOnly ? hidden.get(new NDIndex().addSliceDim(tokens.length - 1, tokens.length)) : hidden;
            NDArray logits = head.apply(finalNorm.apply(chunk, rows));
            logits.attach(scope);
            return logits;
        }
    }

    /** Reads a chunk into {@code cache} without predicting. */
    public void read(int[] tokens, KvCache cache) {
        try (NDManager chunk = manager.newSubManager()) {
            NDArray hidden = embed(chunk, tokens);
            int position = cache.length();
            for (DecoderLayer layer : layers) {
                layer.forward(hidden, position, cache, KvProbe.NONE);
            }
        }
    }

    /**
     * Shows the keys and values of a chunk to {@code probe}, up to the last layer that is wanted and no further; {@code cache} is
     * left without that layer's tokens, so that nothing can follow.
     *
     * @param lastLayer index of the last layer that is wanted
     */
    public void observe(int[] tokens, KvCache cache, int lastLayer, KvProbe probe) {
        try (NDManager chunk = manager.newSubManager()) {
            NDArray hidden = embed(chunk, tokens);
            int position = cache.length();
            for (DecoderLayer layer : layers.subList(0, lastLayer)) {
                layer.forward(hidden, position, cache, probe);
            }
            layers.get(lastLayer).observe(hidden, position, probe);
        }
    }

    LayerWeights layerWeights(int layer) {
        return layers.get(layer).weights();
    }

    RmsNorm finalNorm() {
        return finalNorm;
    }

    Projection head() {
        return head;
    }

    /** Rows of the embedding table, read from the file: an untied table is never widened as a whole. */
    NDArray embed(NDManager scope, int[] tokens) {
        if (tokens.length == 0) {
            throw new IllegalArgumentException("a chunk needs a token");
        }
        NDArray hidden = scope.create(new Shape(tokens.length, config.hidden()), DataType.FLOAT32);
        MemorySegment rows = Libtorch.memory(hidden);
        long rowBytes = (long) config.hidden() * Float.BYTES;
        for (int i = 0; i < tokens.length; i++) {
            if (tokens[i] < 0 || tokens[i] >= config.vocabulary()) {
                throw new InvalidInputException(
                        "token id %d is outside 0..%d, the model's vocabulary; use the model's own tokenizer"
                                .formatted(tokens[i], config.vocabulary() - 1));
            }
            weights.row(WeightNames.EMBEDDING, tokens[i], rows.asSlice(i * rowBytes, rowBytes));
        }
        return hidden;
    }

    @Override
    public void close() {
        manager.close();
        weights.close();
    }
}
