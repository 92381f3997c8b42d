package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.Metric;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A dictionary's atoms as {@link Pursuit} reads them: rows of an even number of floats, an odd width filled up with a zero, and one
 * row of zeros after the last atom, for lanes without a candidate. Atoms of a dictionary with a metric are turned by its root, so that
 * the plain squared error of turned vectors is the metric's.
 */
final class PursuitAtoms {
    private final Dictionary dictionary;
    private final int pairs;
    private final MemorySegment rows;
    private final float[] squares;
    private final float[] centre;

    /** @param arena holds the copy of the atoms */
    PursuitAtoms(Dictionary dictionary, Arena arena) {
        this.dictionary = dictionary;
        this.pairs = (dictionary.dHead() + 1) / 2;
        this.rows = arena.allocate((dictionary.latents() + 1) * rowBytes(), 64);
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
            MemorySegment.copy(row, 0, rows, JAVA_FLOAT, at(latent), dHead);
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

    /** Pairs of floats of an atom. */
    int pairs() {
        return pairs;
    }

    /** All atoms, turned, fp32 {@code [latents + 1, 2 * pairs]}. */
    MemorySegment rows() {
        return rows;
    }

    /** Offset in bytes of an atom; of {@code latents} that of the row of zeros. */
    long at(int latent) {
        return latent * rowBytes();
    }

    /** Squared lengths of the turned atoms, {@code [latents + 1]}. */
    float[] squares() {
        return squares;
    }

    /** b_dec, {@code [dHead]}. */
    float[] centre() {
        return centre;
    }

    private long rowBytes() {
        return 2L * pairs * Float.BYTES;
    }
}
