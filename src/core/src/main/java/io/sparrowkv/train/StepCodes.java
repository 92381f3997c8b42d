package io.sparrowkv.train;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** The codes that a training step takes its gradients from. */
sealed interface StepCodes extends AutoCloseable permits OwnCodes, PursuitCodes {
    /** The codes that the settings ask for. */
    static StepCodes open(Dictionary dictionary, TrainerSettings settings, EncoderBackend backend, Workers workers) {
        return settings.refinement().kind() == Refinement.Kind.NONE
                ? new OwnCodes(dictionary, settings, backend)
                : new PursuitCodes(dictionary, settings, backend, workers);
    }

    /** Budgets whose errors make up the loss, ascending; the last is the most pairs of a row. */
    List<Integer> budgets();

    /** Weights of those errors. */
    List<Float> weights();

    /** Encodes a batch. */
    void encode(MemorySegment vectors, int rows, int step);

    /** The pairs of the batch, and with them those that were looked at and not kept, their coefficients 0. */
    CodeBatch pairs();

    /** Pairs that were kept, of the whole batch. */
    long kept();

    /**
     * What the encoder is to learn from a pair.
     *
     * @param scale of the loss
     * @param own the error's own ∂L/∂z
     * @return that, or what takes its place
     */
    float encoderGradient(int row, int pair, float scale, float own);

    /** Makes the first weights. */
    void firstWeights(FirstWeights weights, MemorySegment sample, int rows);

    /** Reads the dictionary's weights again. */
    void reload();

    @Override
    void close();
}
