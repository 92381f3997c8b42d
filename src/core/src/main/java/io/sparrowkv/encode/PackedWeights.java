package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import java.util.Arrays;

/**
 * Encoder weights in the order in which the product reads them: panels of {@code columns} latents, each
 * {@code [1 + dHead, columns]}: the latents' biases, then their weights dimension by dimension. The last panel is filled up with
 * latents of weight 0 and bias −∞, which no code ever keeps.
 *
 * <p>They lie on the heap: with a plain array the compiler keeps all sums of a tile in registers whatever the tile's shape, while
 * with memory segments some shapes lost half their speed or more.
 */
final class PackedWeights {
    private final Dictionary dictionary;
    private final int columns;
    private final int panels;
    private final int panelSize;
    private final float[] packed;

    /** Allocates room; {@link #pack} fills it. */
    PackedWeights(Dictionary dictionary, int columns) {
        this.dictionary = dictionary;
        this.columns = columns;
        this.panels = Math.ceilDiv(dictionary.latents(), columns);
        this.panelSize = (1 + dictionary.dHead()) * columns;
        this.packed = new float[Math.multiplyExact(panels, panelSize)];
    }

    int panels() {
        return panels;
    }

    /** Floats of one panel. */
    int panelSize() {
        return panelSize;
    }

    /** All panels, one after the other. */
    float[] packed() {
        return packed;
    }

    /** Reads one panel from the dictionary. */
    void pack(int panel) {
        int first = panel * columns;
        int filled = Math.min(columns, dictionary.latents() - first);
        int at = panel * panelSize;
        for (int column = 0; column < filled; column++) {
            packed[at + column] = dictionary.encoderBias().getAtIndex(JAVA_FLOAT, first + column);
        }
        Arrays.fill(packed, at + filled, at + columns, Float.NEGATIVE_INFINITY);
        int dHead = dictionary.dHead();
        for (int column = 0; column < filled; column++) {
            long row = (long) (first + column) * dHead;
            for (int i = 0; i < dHead; i++) {
                packed[at + (1 + i) * columns + column] =
                        dictionary.encoderWeights().getAtIndex(JAVA_FLOAT, row + i);
            }
        }
    }
}
