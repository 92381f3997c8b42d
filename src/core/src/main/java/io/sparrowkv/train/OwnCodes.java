package io.sparrowkv.train;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** The encoder's own codes: prefixes are read at all budgets, and the error's gradient goes through the coefficients to the encoder. */
final class OwnCodes implements StepCodes {
    private final PrefixLoss loss;
    private final TopKEncoder encoder;
    private final CodeBatch codes;

    OwnCodes(Dictionary dictionary, TrainerSettings settings, EncoderBackend backend) {
        loss = settings.loss();
        encoder = backend.open(dictionary);
        codes = CodeBatch.allocate(settings.schedule().batch(), loss.largestBudget());
    }

    @Override
    public List<Integer> budgets() {
        return loss.budgets();
    }

    @Override
    public List<Float> weights() {
        return loss.weights();
    }

    @Override
    public void encode(MemorySegment vectors, int rows, int step) {
        encoder.encode(vectors, rows, loss.largestBudget(), codes);
    }

    @Override
    public CodeBatch pairs() {
        return codes;
    }

    @Override
    public long kept() {
        return codes.pairs();
    }

    @Override
    public float encoderGradient(int row, int pair, float scale, float own) {
        return own;
    }

    @Override
    public void firstWeights(FirstWeights weights, MemorySegment sample, int rows) {
        weights.write(sample, rows, encoder, codes);
    }

    @Override
    public void reload() {
        encoder.reload();
    }

    @Override
    public void close() {
        codes.close();
        encoder.close();
    }
}
