package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.sparrowkv.sae.Dictionary;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.ShortArray;
import uk.ac.manchester.tornado.api.types.arrays.TornadoNativeArray;

/**
 * Encoder weights of dictionaries of one shape as the kernels read them: {@code [slots, panels, 1 + depth, PANEL]} numbers, fp32 or
 * binary16. A panel holds the biases of {@link #PANEL} consecutive latents, then their weights dimension by dimension. Dimensions past
 * the dictionary's width hold 0; latents past its last have weight 0 and a bias below 0, so that no code ever keeps them.
 */
final class DictionaryBank {
    /** Latents of a panel: four vectors of 16 on a CPU, the columns of a tile on a GPU. */
    static final int PANEL = 64;

    /** Depths are multiples of it, the step in which the GPU's product walks along a vector. */
    static final int DEPTH_STEP = 8;

    private static final long MOST_NUMBERS = 1 << 28;

    /** Numbers behind the dictionaries: a mark of what was packed, and filling that keeps vectors whole. */
    private static final int MARK_NUMBERS = 16;

    /** Marks are whole numbers below it. */
    private static final int MARKS = 1 << 10;

    /** Bias of the filling latents, whose weights are 0. */
    private static final float NEVER = -1f;

    private final int latents;
    private final int dHead;
    private final int slots;
    private final boolean half;
    private final TornadoNativeArray weights;
    private int mark;

    /** @param half whether the weights are kept as binary16, of dictionaries that are {@link #exactAsHalf} */
    DictionaryBank(int dHead, int latents, int slots, boolean half) {
        this.latents = latents;
        this.dHead = dHead;
        this.slots = slots;
        this.half = half;
        int size = Math.addExact(Math.multiplyExact(slots, slotSize(dHead, latents)), MARK_NUMBERS);
        this.weights = half ? new ShortArray(size) : new FloatArray(size);
        weights.getSegment().fill((byte) 0);
    }

    /** Whether binary16 holds all of a dictionary's encoder exactly, as it does when its file was of that type. */
    static boolean exactAsHalf(Dictionary dictionary) {
        return HalfFloats.exact(dictionary.encoderBias()) && HalfFloats.exact(dictionary.encoderWeights());
    }

    /** Numbers of one dictionary. */
    static int slotSize(int dHead, int latents) {
        return Math.multiplyExact(Math.ceilDiv(latents, PANEL), (1 + depth(dHead)) * PANEL);
    }

    /** Width of a vector with its filling. */
    static int depth(int dHead) {
        return Math.ceilDiv(dHead, DEPTH_STEP) * DEPTH_STEP;
    }

    /**
     * Most dictionaries of a bank: the kernels' indexes are 32 bits, and devices refuse very large buffers.
     *
     * @param allocation most bytes that the device takes as one buffer
     */
    static int mostSlots(int dHead, int latents, boolean half, long allocation) {
        long numbers = Math.min(MOST_NUMBERS, allocation / (half ? Short.BYTES : Float.BYTES));
        return (int) Math.max(1, (numbers - 2 * MARK_NUMBERS) / slotSize(dHead, latents));
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

    /** Numbers of one dictionary. */
    int slotSize() {
        return slotSize(dHead, latents);
    }

    boolean half() {
        return half;
    }

    /** The weights of a bank of binary16 numbers. */
    ShortArray halves() {
        return (ShortArray) weights;
    }

    /** The weights of a bank of fp32 numbers. */
    FloatArray floats() {
        return (FloatArray) weights;
    }

    /** Tells the weights from those packed before: every copy of them to a device carries the mark. */
    void mark() {
        mark = (mark + 1) % MARKS;
        if (half) {
            halves().set(markIndex(), (short) mark);
        } else {
            floats().set(markIndex(), mark);
        }
    }

    /** What {@link #mark} wrote last. */
    int lastMark() {
        return mark;
    }

    /** Where it stands. */
    int markIndex() {
        return slots * slotSize();
    }

    /** Reads a dictionary into a slot. */
    void pack(int slot, Dictionary dictionary) {
        long at = (long) slot * slotSize();
        for (int panel = 0; panel < panels(); panel++) {
            for (int column = 0; column < PANEL; column++) {
                int latent = panel * PANEL + column;
                boolean filling = latent >= latents;
                put(at + column, filling ? NEVER : dictionary.encoderBias().getAtIndex(JAVA_FLOAT, latent));
                for (int i = 0; i < depth(); i++) {
                    put(
                            at + (long) (1 + i) * PANEL + column,
                            filling || i >= dHead
                                    ? 0f
                                    : dictionary.encoderWeights().getAtIndex(JAVA_FLOAT, (long) latent * dHead + i));
                }
            }
            at += (long) (1 + depth()) * PANEL;
        }
    }

    private void put(long at, float value) {
        if (half) {
            weights.getSegment().setAtIndex(JAVA_SHORT, at, Float.floatToFloat16(value));
        } else {
            weights.getSegment().setAtIndex(JAVA_FLOAT, at, value);
        }
    }
}
