package io.sparrowkv.attention;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;

/**
 * What the codes of a KV head's vectors are read with: a dictionary's decoder, or of a dictionary that codes the heads together the
 * head's columns of it. The dictionary's memory, not a copy.
 *
 * @param weights fp32, the elements of atom i from byte {@code i * stride} on
 * @param stride bytes from an atom to the next
 * @param bias fp32 {@code [dHead]}
 * @param latents number of atoms
 * @param dHead width of a head's vectors
 */
record Atoms(MemorySegment weights, int stride, MemorySegment bias, int latents, int dHead) {
    /** All of a dictionary's decoder. */
    static Atoms of(Dictionary dictionary) {
        return new Atoms(
                dictionary.decoderWeights(),
                dictionary.dHead() * Float.BYTES,
                dictionary.decoderBias(),
                dictionary.latents(),
                dictionary.dHead());
    }

    /** Some columns of these. */
    Atoms columns(int first, int count) {
        long from = (long) first * Float.BYTES;
        return new Atoms(weights.asSlice(from), stride, bias.asSlice(from, (long) count * Float.BYTES), latents, count);
    }
}
