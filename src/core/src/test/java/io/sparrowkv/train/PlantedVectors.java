package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;

/** Vectors that are sums of a few atoms of a dictionary that we know, plus a centre and a little noise. */
final class PlantedVectors {
    final int dHead;
    final float[][] atoms;
    final float[] centre;
    private final int active;
    private final double noise;

    PlantedVectors(int dHead, int atoms, int active, double noise, long seed) {
        this.dHead = dHead;
        this.active = active;
        this.noise = noise;
        Random random = new Random(seed);
        this.atoms = new float[atoms][dHead];
        for (float[] atom : this.atoms) {
            double length = 0;
            for (int i = 0; i < dHead; i++) {
                atom[i] = (float) random.nextGaussian();
                length += atom[i] * atom[i];
            }
            for (int i = 0; i < dHead; i++) {
                atom[i] /= (float) Math.sqrt(length);
            }
        }
        this.centre = new float[dHead];
        for (int i = 0; i < dHead; i++) {
            centre[i] = (float) (0.3 * random.nextGaussian());
        }
    }

    /** Draws {@code [rows, dHead]}. */
    MemorySegment draw(Arena arena, int rows, long seed) {
        MemorySegment vectors = arena.allocate((long) rows * dHead * Float.BYTES, 64);
        Random random = new Random(seed);
        for (int row = 0; row < rows; row++) {
            float[] x = centre.clone();
            for (int k = 0; k < active; k++) {
                float[] atom = atoms[random.nextInt(atoms.length)];
                double coefficient = 1 + 4 * random.nextDouble();
                for (int i = 0; i < dHead; i++) {
                    x[i] += (float) (coefficient * atom[i]);
                }
            }
            for (int i = 0; i < dHead; i++) {
                vectors.setAtIndex(JAVA_FLOAT, (long) row * dHead + i, x[i] + (float) (noise * random.nextGaussian()));
            }
        }
        return vectors;
    }
}
