package io.sparrowkv.sae;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** Dictionaries of seeded random weights: unit-norm atoms, detectors near them, small biases. */
public final class RandomDictionaries {
    private RandomDictionaries() {}

    /** One dictionary. */
    public static Dictionary dictionary(Site site, RopeStage rope, int dHead, int latents, long seed) {
        SplittableRandom random = new SplittableRandom(seed * 31 + site.hashCode());
        Dictionary dictionary = Dictionary.allocate(site, rope, dHead, latents);
        for (int latent = 0; latent < latents; latent++) {
            double[] atom = random.doubles(dHead, -1, 1).toArray();
            double norm = 0;
            for (double x : atom) {
                norm += x * x;
            }
            for (int d = 0; d < dHead; d++) {
                long at = (long) latent * dHead + d;
                float weight = (float) (atom[d] / Math.sqrt(norm));
                dictionary.decoderWeights().setAtIndex(JAVA_FLOAT, at, weight);
                dictionary.encoderWeights().setAtIndex(JAVA_FLOAT, at, weight + (float) random.nextDouble(-0.02, 0.02));
            }
        }
        fill(dictionary.encoderBias(), latents, random);
        fill(dictionary.decoderBias(), dHead, random);
        return dictionary;
    }

    /** Dictionaries of all sites, one a layer and kind, or one a KV head too. */
    public static DictionarySet set(
            int layers,
            int kvHeads,
            RopeStage rope,
            int dHead,
            int keyLatents,
            int valueLatents,
            boolean perHead,
            long seed) {
        List<Dictionary> dictionaries = new ArrayList<>();
        for (int layer = 0; layer < layers; layer++) {
            for (VectorKind kind : VectorKind.values()) {
                int latents = kind == VectorKind.KEY ? keyLatents : valueLatents;
                for (int head = 0; head < (perHead ? kvHeads : 1); head++) {
                    Site site = perHead ? new Site(layer, kind, head) : Site.of(layer, kind);
                    RopeStage stage = kind == VectorKind.KEY ? rope : RopeStage.PRE;
                    dictionaries.add(dictionary(site, stage, dHead, latents, seed + head));
                }
            }
        }
        return new DictionarySet(dictionaries);
    }

    private static void fill(MemorySegment bias, int count, SplittableRandom random) {
        for (int i = 0; i < count; i++) {
            bias.setAtIndex(JAVA_FLOAT, i, (float) random.nextDouble(-0.1, 0.1));
        }
    }
}
