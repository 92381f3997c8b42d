package io.sparrowkv.llm.model;

import io.sparrowkv.safetensors.DType;

/** How a model stretches its rotary frequencies to reach beyond the context it was first trained on. */
public sealed interface RopeScaling {
    /** As trained. */
    record None() implements RopeScaling {}

    /** Every frequency divided by {@code factor}. */
    record Linear(double factor) implements RopeScaling {}

    /**
     * Llama 3.1: long wavelengths divided by {@code factor}, short ones kept, those between blended.
     *
     * @param originalPositions context the model was first trained on, in tokens
     */
    record Llama3(double factor, double lowFrequencyFactor, double highFrequencyFactor, int originalPositions)
            implements RopeScaling {}

    /**
     * The angle by which one position turns each pair of a vector, {@code [dHead / 2]}, computed in fp32 as Hugging Face does.
     *
     * @param theta base of the frequencies
     * @param precision F32, F16 or BF16: what the result is rounded to
     */
    default float[] inverseFrequencies(double theta, int dHead, DType precision) {
        float[] frequencies = new float[dHead / 2];
        for (int i = 0; i < frequencies.length; i++) {
            float exponent = (float) (2 * i) / dHead;
            frequencies[i] = precision.round(scale(1f / (float) Math.pow(theta, exponent)));
        }
        return frequencies;
    }

    private float scale(float frequency) {
        return switch (this) {
            case None none -> frequency;
            case Linear linear -> frequency / (float) linear.factor;
            case Llama3 llama3 -> scaleLlama3(llama3, frequency);
        };
    }

    private static float scaleLlama3(Llama3 scaling, float frequency) {
        float wavelength = (float) (2 * Math.PI) / frequency;
        float factor = (float) scaling.factor;
        if (wavelength > scaling.originalPositions / scaling.lowFrequencyFactor) {
            return frequency / factor;
        }
        if (wavelength < scaling.originalPositions / scaling.highFrequencyFactor) {
            return frequency;
        }
        float smooth = (float) ((scaling.originalPositions / wavelength - scaling.lowFrequencyFactor)
                / (scaling.highFrequencyFactor - scaling.lowFrequencyFactor));
        return (1 - smooth) * frequency / factor + smooth * frequency;
    }
}
