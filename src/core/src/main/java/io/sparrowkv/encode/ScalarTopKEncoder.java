package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;

/** The oracle: the definition of a code, written to be read. Every other encoder is tested against it. */
public final class ScalarTopKEncoder implements TopKEncoder {
    private final Dictionary dictionary;
    private final float[] centred;
    private final float[] preActivations;

    public ScalarTopKEncoder(Dictionary dictionary) {
        this.dictionary = dictionary;
        this.centred = new float[dictionary.dHead()];
        this.preActivations = new float[dictionary.latents()];
    }

    @Override
    public Dictionary dictionary() {
        return dictionary;
    }

    @Override
    public void encode(MemorySegment vectors, int rows, int budget, CodeBatch codes) {
        TopKEncoder.requireFit(dictionary, vectors, rows, budget);
        codes.shape(rows, budget);
        for (int row = 0; row < rows; row++) {
            centre(vectors, row);
            activate();
            select(row, budget, codes);
        }
    }

    @Override
    public void reload() {
        // Nothing is kept of the weights: each call reads the dictionary itself.
    }

    @Override
    public void close() {
        // The dictionary is the caller's.
    }

    private void centre(MemorySegment vectors, int row) {
        int dHead = dictionary.dHead();
        for (int i = 0; i < dHead; i++) {
            float x = vectors.getAtIndex(JAVA_FLOAT, (long) row * dHead + i);
            if (!Float.isFinite(x)) {
                throw new NonFiniteVectorException(dictionary.site(), row);
            }
            centred[i] = x - dictionary.decoderBias().getAtIndex(JAVA_FLOAT, i);
        }
    }

    private void activate() {
        int dHead = dictionary.dHead();
        for (int latent = 0; latent < preActivations.length; latent++) {
            float sum = dictionary.encoderBias().getAtIndex(JAVA_FLOAT, latent);
            for (int i = 0; i < dHead; i++) {
                float weight = dictionary.encoderWeights().getAtIndex(JAVA_FLOAT, (long) latent * dHead + i);
                sum = Math.fma(weight, centred[i], sum);
            }
            preActivations[latent] = Math.max(0f, sum);
        }
    }

    private void select(int row, int budget, CodeBatch codes) {
        int count = 0;
        for (int pair = 0; pair < budget; pair++) {
            int best = -1;
            float value = 0f;
            for (int latent = 0; latent < preActivations.length; latent++) {
                if (preActivations[latent] > value) {
                    best = latent;
                    value = preActivations[latent];
                }
            }
            long at = (long) row * budget + pair;
            codes.indices().setAtIndex(JAVA_INT, at, Math.max(best, 0));
            codes.coefficients().setAtIndex(JAVA_FLOAT, at, value);
            if (best >= 0) {
                preActivations[best] = 0f;
                count++;
            }
        }
        codes.counts().setAtIndex(JAVA_INT, row, count);
    }
}
