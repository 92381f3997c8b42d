package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * A dictionary's atoms as {@link Pursuit} reads them: rows of an even number of floats, an odd width filled up with a zero, and one
 * row of zeros after the last atom, for lanes without a candidate.
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
        for (int latent = 0; latent < dictionary.latents(); latent++) {
            MemorySegment.copy(dictionary.decoderWeights(), latent * bytes, rows, at(latent), bytes);
            float square = 0;
            for (int i = 0; i < dHead; i++) {
                float x = dictionary.decoderWeights().getAtIndex(JAVA_FLOAT, (long) latent * dHead + i);
                square = Math.fma(x, x, square);
            }
            squares[latent] = square;
        }
        MemorySegment.copy(dictionary.decoderBias(), JAVA_FLOAT, 0, centre, 0, dHead);
    }

    Dictionary dictionary() {
        return dictionary;
    }

    /** Pairs of floats of an atom. */
    int pairs() {
        return pairs;
    }

    /** All atoms, fp32 {@code [latents + 1, 2 * pairs]}. */
    MemorySegment rows() {
        return rows;
    }

    /** Offset in bytes of an atom; of {@code latents} that of the row of zeros. */
    long at(int latent) {
        return latent * rowBytes();
    }

    /** Squared lengths of the atoms, {@code [latents + 1]}. */
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
