package io.sparrowkv.llm.model;

import java.util.Arrays;
import java.util.Optional;

/** The model families that can be run, named as {@code model_type} in {@code config.json}. */
public enum Family {
    /** Llama 1 to 3, Yi and others of that architecture. */
    LLAMA("llama", 2048),
    MISTRAL("mistral", 131_072),
    /** Qwen 2 and 2.5. */
    QWEN2("qwen2", 32_768),
    QWEN3("qwen3", 32_768);

    private final String modelType;
    private final int defaultMaxPositions;

    Family(String modelType, int defaultMaxPositions) {
        this.modelType = modelType;
        this.defaultMaxPositions = defaultMaxPositions;
    }

    public String modelType() {
        return modelType;
    }

    /** {@code max_position_embeddings} where the file has none, as Hugging Face's configuration class defines it. */
    int defaultMaxPositions() {
        return defaultMaxPositions;
    }

    static Optional<Family> of(String modelType) {
        return Arrays.stream(values())
                .filter(f -> f.modelType.equals(modelType))
                .findFirst();
    }
}
