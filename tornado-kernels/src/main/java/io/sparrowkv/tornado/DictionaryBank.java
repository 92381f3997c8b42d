package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;

/**
 * Encoder weights of dictionaries of one shape as the kernels read them: {@code [slots, panels, 1 + depth, PANEL]} floats. A panel
 * holds the biases of {@link #PANEL} consecutive latents, then their weights dimension by dimension. Dimensions past the dictionary's
 * width hold 0; latents past its last have weight 0 and a bias that no code ever keeps.
 */
final class DictionaryBank {
    /** Latents of a panel: four vectors of 16 on a CPU, the columns of a tile on a GPU. */
    static final int PANEL = 64;

    /** Depths are multiples of it, the step in which the GPU's product walks along a vector. */
    static final int DEPTH_STEP = 8;

    /** Bias of the filling latents: far below any pre-activation, and finite, since device compilers may take all values for finite. */
    private static final float NEVER = -1e30f;

    private final int latents;
    private final int dHead;
    private final int slots;
    private final FloatArray weights;

    DictionaryBank(int dHead, int latents, int slots) {
        this.dHead = dHead;
        this.latents = latents;
        this.slots = slots;
        this.weights = new FloatArray(Math.multiplyExact(slots, slotSize(dHead, latents)));
    }

    /** Floats of one dictionary. */
    static int slotSize(int dHead, int latents) {
        return Math.multiplyExact(Math.ceilDiv(latents, PANEL), (1 + depth(dHead)) * PANEL);
    }

    /** Width of a vector with its filling. */
    static int depth(int dHead) {
        return Math.ceilDiv(dHead, DEPTH_STEP) * DEPTH_STEP;
    }

    int slots() {
        return slots;
    }

    int depth() {
        return depth(dHead);
    }

    /** Panels of one dictionary. */
    int panels() {
        return Math.ceilDiv(latents, PANEL);
    }

    FloatArray weights() {
        return weights;
    }

    /** Reads a dictionary into a slot. */
    void pack(int slot, Dictionary dictionary) {
        MemorySegment packed = weights.getSegment();
        long at = (long) slot * slotSize(dHead, latents);
        for (int panel = 0; panel < panels(); panel++) {
            for (int column = 0; column < PANEL; column++) {
                int latent = panel * PANEL + column;
                boolean filling = latent >= latents;
                packed.setAtIndex(
                        JAVA_FLOAT,
                        at + column,
                        filling ? NEVER : dictionary.encoderBias().getAtIndex(JAVA_FLOAT, latent));
                for (int i = 0; i < depth(); i++) {
                    packed.setAtIndex(
                            JAVA_FLOAT,
                            at + (long) (1 + i) * PANEL + column,
                            filling || i >= dHead
                                    ? 0f
                                    : dictionary.encoderWeights().getAtIndex(JAVA_FLOAT, (long) latent * dHead + i));
                }
            }
            at += (long) (1 + depth()) * PANEL;
        }
    }
}
