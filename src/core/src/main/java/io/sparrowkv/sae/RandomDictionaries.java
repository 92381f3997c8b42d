package io.sparrowkv.sae;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** Seeded random dictionaries and vectors, for measurements and tests that need no trained ones. */
public final class RandomDictionaries {
    private static final float BIAS_DEVIATION = 0.1f;

    private RandomDictionaries() {}

    /**
     * A dictionary of random unit atoms whose detectors are the atoms themselves, with small random biases.
     *
     * @see Dictionary#allocate
     */
    public static Dictionary dictionary(Site site, RopeStage rope, int dHead, int latents, long seed) {
        Dictionary dictionary = Dictionary.allocate(site, rope, dHead, latents);
        Random random = new Random(seed);
        float[] atom = new float[dHead];
        for (int latent = 0; latent < latents; latent++) {
            double squares = 0;
            for (int i = 0; i < dHead; i++) {
                atom[i] = (float) random.nextGaussian();
                squares += (double) atom[i] * atom[i];
            }
            float scale = (float) (1 / Math.sqrt(squares));
            for (int i = 0; i < dHead; i++) {
                atom[i] *= scale;
            }
            long at = (long) latent * dHead * Float.BYTES;
            MemorySegment.copy(atom, 0, dictionary.encoderWeights(), JAVA_FLOAT, at, dHead);
            MemorySegment.copy(atom, 0, dictionary.decoderWeights(), JAVA_FLOAT, at, dHead);
        }
        fill(dictionary.encoderBias(), BIAS_DEVIATION, random);
        fill(dictionary.decoderBias(), BIAS_DEVIATION, random);
        return dictionary;
    }

    /**
     * Dictionaries of all sites of a model.
     *
     * @param ownHeads KV heads with a dictionary each; 0 for one that all of a layer's share
     * @param keyLatents number of atoms of the keys' dictionaries
     * @param valueLatents number of atoms of the values' dictionaries
     */
    public static DictionarySet set(
            int layers, int ownHeads, RopeStage rope, int dHead, int keyLatents, int valueLatents, long seed) {
        List<Dictionary> dictionaries = new ArrayList<>();
        for (int layer = 0; layer < layers; layer++) {
            for (VectorKind kind : VectorKind.values()) {
                int latents = kind == VectorKind.KEY ? keyLatents : valueLatents;
                RopeStage stage = kind == VectorKind.KEY ? rope : RopeStage.PRE;
                for (int head = 0; head < Math.max(1, ownHeads); head++) {
                    Site site = new Site(layer, kind, ownHeads == 0 ? Site.ALL_HEADS : head);
                    dictionaries.add(dictionary(site, stage, dHead, latents, seed + dictionaries.size()));
                }
            }
        }
        return new DictionarySet(dictionaries);
    }

    /**
     * Dictionaries of all sites of a model whose KV heads are coded together.
     *
     * @param dHead width of a head's vectors
     */
    public static DictionarySet jointSet(
            int layers, int kvHeads, RopeStage rope, int dHead, int keyLatents, int valueLatents, long seed) {
        List<Dictionary> dictionaries = new ArrayList<>();
        for (int layer = 0; layer < layers; layer++) {
            for (VectorKind kind : VectorKind.values()) {
                boolean ofKeys = kind == VectorKind.KEY;
                dictionaries.add(dictionary(
                        Site.joint(layer, kind),
                        ofKeys ? rope : RopeStage.PRE,
                        Heads.JOINT.width(kvHeads, dHead),
                        ofKeys ? keyLatents : valueLatents,
                        seed + dictionaries.size()));
            }
        }
        return new DictionarySet(dictionaries);
    }

    /** Normally distributed vectors, fp32 {@code [rows, dHead]}. */
    public static MemorySegment vectors(Arena arena, int rows, int dHead, long seed) {
        MemorySegment vectors = arena.allocate(Math.max(1, (long) rows * dHead) * Float.BYTES, 64);
        fill(vectors, 1f, new Random(seed));
        return vectors;
    }

    private static void fill(MemorySegment floats, float deviation, Random random) {
        for (long i = 0; i < floats.byteSize() / Float.BYTES; i++) {
            floats.setAtIndex(JAVA_FLOAT, i, deviation * (float) random.nextGaussian());
        }
    }
}
