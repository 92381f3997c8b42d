package io.sparrowkv.encode;

/**
 * One worker's memory between product and selection, shared by the encoders of a backend: a block of centred vectors, their
 * pre-activations and the maxima of their groups. It grows to the largest shape seen.
 */
final class EncodeScratch {
    /** Centred vectors, {@code [tiles, dHead, tileRows]}. */
    float[] centred = {};

    /** Pre-activations before the ReLU, {@code [tiles, panels, tileRows, columns]}. */
    float[] preActivations = {};

    /** Per tile row, panel and lane, the largest positive pre-activation: {@code [tiles, tileRows, panels, lanes]}. */
    float[] maxima = {};

    /** Weights of a panel on their way into {@link PackedWeights}. */
    float[] weights = {};

    /** Selection of one row at a time. */
    final TopKSelection selection = new TopKSelection();

    /** Makes room for a block of {@code rows} rows. */
    void fit(int rows, int dHead, int paddedLatents, int groups) {
        centred = fit(centred, Math.multiplyExact(rows, dHead));
        preActivations = fit(preActivations, Math.multiplyExact(rows, paddedLatents));
        maxima = fit(maxima, Math.multiplyExact(rows, groups));
        selection.fit(paddedLatents, groups);
    }

    /** Makes room for packing a panel of {@code floats} weights. */
    void fitWeights(int floats) {
        weights = fit(weights, floats);
    }

    private static float[] fit(float[] array, int length) {
        return array.length >= length ? array : new float[length];
    }
}
