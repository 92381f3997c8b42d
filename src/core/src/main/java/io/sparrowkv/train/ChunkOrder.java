package io.sparrowkv.train;

import io.sparrowkv.io.InvalidInputException;
import java.util.Arrays;
import java.util.Random;

/**
 * The order in which a source's chunks are read: a seeded permutation for each epoch, over all chunks but those held out. A place in
 * the order is one number.
 */
final class ChunkOrder {
    private final long seed;
    private final int[] training;
    private final int[] heldOut;
    private long epoch = -1;
    private int[] permutation = {};

    /**
     * @param heldOut chunks never trained on
     * @throws InvalidInputException when no chunk would be left to train on
     */
    ChunkOrder(long seed, long chunks, int heldOut) {
        if (chunks <= heldOut) {
            throw new InvalidInputException(
                    "the text gives %d chunks and %d are held out for the report; use a longer text"
                            .formatted(chunks, heldOut));
        }
        this.seed = seed;
        int[] all = permutation(Math.toIntExact(chunks), -1);
        this.heldOut = Arrays.copyOf(all, heldOut);
        this.training = Arrays.copyOfRange(all, heldOut, all.length);
        Arrays.sort(training);
        Arrays.sort(this.heldOut);
    }

    /** The chunk at a place of the endless order. */
    int chunk(long position) {
        long ofPosition = position / training.length;
        if (ofPosition != epoch) {
            epoch = ofPosition;
            permutation = permutation(training.length, epoch);
        }
        return training[permutation[(int) (position % training.length)]];
    }

    int[] heldOut() {
        return heldOut.clone();
    }

    /** Chunks of one epoch. */
    int epochChunks() {
        return training.length;
    }

    private int[] permutation(int length, long number) {
        return permutation(length, seed, number);
    }

    /** A permutation of {@code [0, length)} that depends on the seed and its number alone. */
    static int[] permutation(int length, long seed, long number) {
        Random random = new Random(seed * 0x9E3779B97F4A7C15L + number);
        int[] order = new int[length];
        for (int i = 0; i < length; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        return order;
    }
}
