package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.Metric;
import java.lang.foreign.MemorySegment;

/**
 * A dictionary's atoms as {@link Pursuit} reads them: rows of a multiple of four floats, filled up with zeros, and one row of zeros after
 * the last atom, for lanes without a candidate. Atoms of a dictionary with a metric are turned by its root, so that
 * the plain squared error of turned vectors is the metric's.
 */
final class PursuitAtoms {
    private static final int MULTIPLE = 4;

    private final Dictionary dictionary;
    private final int width;
    private final float[] rows;
    private final float[] squares;
    private final float[] centre;

    PursuitAtoms(Dictionary dictionary) {
        this.dictionary = dictionary;
        this.width = Math.ceilDiv(dictionary.dHead(), MULTIPLE) * MULTIPLE;
        this.rows = new float[Math.multiplyExact(dictionary.latents() + 1, width)];
        this.squares = new float[dictionary.latents() + 1];
        this.centre = new float[dictionary.dHead()];
        reload();
    }

    /** Reads the dictionary's weights again. */
    void reload() {
        int dHead = dictionary.dHead();
        long bytes = (long) dHead * Float.BYTES;
        float[] atom = new float[dHead];
        float[] turned = new float[dHead];
        for (int latent = 0; latent < dictionary.latents(); latent++) {
            MemorySegment.copy(dictionary.decoderWeights(), JAVA_FLOAT, latent * bytes, atom, 0, dHead);
            float[] row = turn(atom, turned);
            System.arraycopy(row, 0, rows, at(latent), dHead);
            float square = 0;
            for (float x : row) {
                square = Math.fma(x, x, square);
            }
            squares[latent] = square;
        }
        MemorySegment.copy(dictionary.decoderBias(), JAVA_FLOAT, 0, centre, 0, dHead);
    }

    /**
     * Brings a vector to where its plain square is the weight of an error in the dictionary's metric.
     *
     * @param scratch as long as the vector
     * @return one of the two
     */
    float[] turn(float[] vector, float[] scratch) {
        if (dictionary.metric().isEmpty()) {
            return vector;
        }
        Metric.multiply(dictionary.metric().get().root(), vector, scratch);
        return scratch;
    }

    Dictionary dictionary() {
        return dictionary;
    }

    /** Floats of a row, a multiple of four. */
    int width() {
        return width;
    }

    /** All atoms, turned, {@code [latents + 1, width]}. */
    float[] rows() {
        return rows;
    }

    /** Where an atom begins; of {@code latents} where the row of zeros does. */
    int at(int latent) {
        return latent * width;
    }

    /** Squared lengths of the turned atoms, {@code [latents + 1]}. */
    float[] squares() {
        return squares;
    }

    /** b_dec, {@code [dHead]}. */
    float[] centre() {
        return centre;
    }
}
