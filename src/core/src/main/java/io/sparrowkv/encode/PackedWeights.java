package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Encoder weights in the order in which the product reads them: panels of {@code columns} latents, each
 * {@code [1 + dHead, columns]}: the latents' biases, then their weights dimension by dimension. The last panel is filled up with
 * latents of weight 0 and bias −∞, which no code ever keeps.
 *
 * <p>They lie on the heap: with a plain array the compiler keeps all sums of a tile in registers whatever the tile's shape, while
 * with memory segments some shapes lost half their speed or more. An array's header would put every load of 64 bytes across two
 * cache lines, so the panels begin a line after it: exact where the collector gives so large an array a region of its own, which is
 * what G1 does with these, and otherwise by chance. It takes 6 to 8 percent off the product's time.
 */
final class PackedWeights {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();

    /** Floats from the end of an array's header, 16 bytes, to the next cache line. */
    private static final int PADDING = 12;

    private final Dictionary dictionary;
    private final int columns;
    private final int panels;
    private final int panelSize;
    private final float[] packed;
    private final int[] latentOffsets;

    /**
     * Allocates room; {@link #pack} fills it.
     *
     * @param columns of a panel, a multiple of the vectors' lanes
     */
    PackedWeights(Dictionary dictionary, int columns) {
        this.dictionary = dictionary;
        this.columns = columns;
        this.panels = Math.ceilDiv(dictionary.latents(), columns);
        this.panelSize = (1 + dictionary.dHead()) * columns;
        this.packed = new float[Math.addExact(PADDING, Math.multiplyExact(panels, panelSize))];
        this.latentOffsets = new int[LANES];
        Arrays.setAll(latentOffsets, lane -> lane * dictionary.dHead());
    }

    int panels() {
        return panels;
    }

    /** Where a panel begins in {@link #packed}. */
    int at(int panel) {
        return PADDING + panel * panelSize;
    }

    /** All panels, one after the other. */
    float[] packed() {
        return packed;
    }

    /** Floats of scratch that {@link #pack} needs. */
    int scratch() {
        return columns * dictionary.dHead();
    }

    /** Reads one panel from the dictionary. */
    void pack(int panel, float[] scratch) {
        int dHead = dictionary.dHead();
        int first = panel * columns;
        int filled = Math.min(columns, dictionary.latents() - first);
        int to = at(panel);
        MemorySegment.copy(dictionary.encoderBias(), JAVA_FLOAT, (long) first * Float.BYTES, packed, to, filled);
        Arrays.fill(packed, to + filled, to + columns, Float.NEGATIVE_INFINITY);
        long from = (long) first * dHead * Float.BYTES;
        MemorySegment.copy(dictionary.encoderWeights(), JAVA_FLOAT, from, scratch, 0, filled * dHead);
        Arrays.fill(scratch, filled * dHead, columns * dHead, 0f);
        for (int i = 0; i < dHead; i++) {
            to += columns;
            for (int column = 0; column < columns; column += LANES) {
                FloatVector.fromArray(SPECIES, scratch, column * dHead + i, latentOffsets, 0)
                        .intoArray(packed, to + column);
            }
        }
    }
}
