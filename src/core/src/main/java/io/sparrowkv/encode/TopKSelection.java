package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static jdk.incubator.vector.VectorOperators.GE;
import static jdk.incubator.vector.VectorOperators.GT;
import static jdk.incubator.vector.VectorOperators.LT;

import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The exact K largest of one row of pre-activations, found through the maxima of small groups that the product leaves behind.
 *
 * <p>The K-th largest of any disjoint groups' maxima is at most the K-th largest value, so every kept latent is at least that large.
 * With 4 K groups a row of random values has about 1.15 K latents that are: only the groups whose maximum passes are opened, and
 * only those latents are sorted. A row of 4096 takes a fraction of a microsecond, where a scan of all its values with a rising
 * threshold takes three ({@code EncodeBenchmark}, {@code product} against {@code encode}).
 */
final class TopKSelection {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Long> LONGS = LongVector.SPECIES_PREFERRED;
    private static final int LANES = FLOATS.length();

    /** Groups per kept latent that the threshold is taken from: more cost time to look at, fewer let more latents pass. */
    private static final int GROUPS_PER_LATENT = 4;

    /** Bits of the smallest positive float: the threshold that lets every positive value pass. */
    private static final int SMALLEST_POSITIVE = 1;

    /** Candidates up to which counting the larger ones of each beats a heap. */
    private static final int RANK_LIMIT = 256;

    /** Candidates: float bits of the value above, the complement of the index below, so that larger is better and ties too. */
    private long[] candidates = {};

    private float[] groups = {};

    /** What {@link #writeUnordered} keeps, and one that it does not. */
    private final int[] latents = new int[RANK_LIMIT + 1];

    private final float[] values = new float[RANK_LIMIT + 1];

    /** Makes room for rows of {@code latents} values in {@code groups} groups. */
    void fit(int latents, int groups) {
        if (candidates.length < latents + LONGS.length()) {
            candidates = new long[latents + LONGS.length()];
        }
        if (this.groups.length < groups) {
            this.groups = new float[groups];
        }
    }

    /** Writes to {@code maxima} the lane-wise maximum of {@code vectors} vectors of pre-activations, 0 when none is positive. */
    void group(float[] z, int zAt, int vectors, float[] maxima, int maximaAt) {
        // Compare and blend, not max: starting at zero this is the ReLU, and NaN never wins.
        FloatVector largest = FloatVector.zero(FLOATS);
        for (int v = 0; v < vectors; v++) {
            FloatVector values = FloatVector.fromArray(FLOATS, z, zAt + v * LANES);
            largest = largest.blend(values, values.compare(GT, largest));
        }
        largest.intoArray(maxima, maximaAt);
    }

    /**
     * Selects one row's code.
     *
     * @param z pre-activations; those of panel p are {@code vectors} vectors from {@code zAt + p * zStride}
     * @param maxima what {@link #group} made of each panel, from {@code maximaAt} on
     * @param row where in {@code codes} the code goes
     * @param ordered whether the largest comes first
     */
    void select(
            float[] z,
            int zAt,
            int zStride,
            int vectors,
            float[] maxima,
            int maximaAt,
            int panels,
            CodeBatch codes,
            int row,
            boolean ordered) {
        int budget = codes.budget();
        int least = threshold(maxima, maximaAt, panels, budget);
        float threshold = Float.intBitsToFloat(least);
        int found = 0;
        for (int panel = 0; panel < panels; panel++) {
            long open = FloatVector.fromArray(FLOATS, maxima, maximaAt + panel * LANES)
                    .compare(GE, threshold)
                    .toLong();
            for (; open != 0; open &= open - 1) {
                int lane = Long.numberOfTrailingZeros(open);
                int at = zAt + panel * zStride + lane;
                int latent = panel * vectors * LANES + lane;
                for (int v = 0; v < vectors; v++) {
                    float value = z[at + v * LANES];
                    candidates[found] = key(value, latent + v * LANES);
                    found += value >= threshold ? 1 : 0;
                }
            }
        }
        if (found <= RANK_LIMIT) {
            if (ordered || !writeUnordered(found, least, budget, codes, row)) {
                writeByRank(found, budget, codes, row);
            }
        } else {
            writeByHeap(found, budget, codes, row);
        }
    }

    /** Bits of a positive value that at least {@code budget} latents reach, or of the smallest one when fewer are positive. */
    private int threshold(float[] maxima, int maximaAt, int panels, int budget) {
        int wanted = Math.ceilDiv(GROUPS_PER_LATENT * budget, LANES);
        int vectors = Integer.highestOneBit(
                Math.min(panels, 2 * wanted - 1)); // a power of two, so that panels fold by a mask
        if (vectors * LANES < budget) {
            return SMALLEST_POSITIVE;
        }
        // Vector.max and min would also look for NaN and -0, which are not there; a method for it is not always
        // inlined, and then boxes.
        FloatVector smallest = FloatVector.broadcast(FLOATS, Float.POSITIVE_INFINITY);
        FloatVector largest = FloatVector.zero(FLOATS);
        for (int v = 0; v < vectors; v++) {
            FloatVector group = FloatVector.fromArray(FLOATS, maxima, maximaAt + v * LANES);
            for (int panel = v + vectors; panel < panels; panel += vectors) {
                FloatVector other = FloatVector.fromArray(FLOATS, maxima, maximaAt + panel * LANES);
                group = group.blend(other, other.compare(GT, group));
            }
            group.intoArray(groups, v * LANES);
            smallest = smallest.blend(group, group.compare(LT, smallest));
            largest = largest.blend(group, group.compare(GT, largest));
        }
        // Bits of non-negative floats are ordered as the floats are. Always: at least budget groups reach low, fewer
        // reach high.
        int low = Float.floatToRawIntBits(smallest.reduceLanes(VectorOperators.MIN));
        int high = Float.floatToRawIntBits(largest.reduceLanes(VectorOperators.MAX)) + 1;
        int enough = budget + budget / 8;
        while (high - low > 1) {
            int middle = (low + high) >>> 1;
            int reached = countAtLeast(middle, vectors);
            if (reached < budget) {
                high = middle;
            } else {
                low = middle;
                if (reached <= enough) {
                    break;
                }
            }
        }
        return Math.max(low, SMALLEST_POSITIVE);
    }

    private int countAtLeast(int bits, int vectors) {
        float least = Float.intBitsToFloat(bits);
        int count = 0;
        for (int v = 0; v < vectors; v++) {
            count += FloatVector.fromArray(FLOATS, groups, v * LANES)
                    .compare(GE, least)
                    .trueCount();
        }
        return count;
    }

    private static long key(float value, int latent) {
        return (long) Float.floatToRawIntBits(value) << Integer.SIZE | (~latent & 0xFFFF_FFFFL);
    }

    /**
     * Writes the best as they come. A value that parts them from the others is found by halving, in far fewer steps than there are
     * candidates, since it may lie anywhere between two neighbours.
     *
     * @param least bits of a value that all of them reach
     * @return false, with nothing written, where equal values lie on both sides
     */
    private boolean writeUnordered(int found, int least, int budget, CodeBatch codes, int row) {
        long cut = found <= budget ? 0 : cut(found, least, budget);
        if (cut < 0) {
            return false;
        }
        int kept = 0;
        for (int i = 0; i < found; i++) {
            long key = candidates[i];
            latents[kept] = ~(int) key;
            values[kept] = Float.intBitsToFloat((int) (key >>> Integer.SIZE));
            kept += key >= cut ? 1 : 0;
        }
        long at = (long) row * budget;
        MemorySegment.copy(latents, 0, codes.indices(), JAVA_INT, at * Integer.BYTES, kept);
        MemorySegment.copy(values, 0, codes.coefficients(), JAVA_FLOAT, at * Float.BYTES, kept);
        pad(kept, budget, codes, row);
        return true;
    }

    /** A key that exactly {@code budget} candidates reach, or −1 where none without an index does. */
    private long cut(int found, int least, int budget) {
        for (int i = 0; i < LONGS.length(); i++) {
            candidates[found + i] = 0; // below every key: values are positive
        }
        LongVector largest = LongVector.zero(LONGS);
        for (int from = 0; from < found; from += LONGS.length()) {
            largest = largest.max(LongVector.fromArray(LONGS, candidates, from));
        }
        // Always: more than budget candidates reach low, fewer reach high.
        int low = least;
        int high = (int) (largest.reduceLanes(VectorOperators.MAX) >>> Integer.SIZE) + 1;
        while (high - low > 1) {
            int middle = (low + high) >>> 1;
            long key = (long) middle << Integer.SIZE;
            int reached = 0;
            for (int from = 0; from < found; from += LONGS.length()) {
                reached += LongVector.fromArray(LONGS, candidates, from)
                        .compare(GE, key)
                        .trueCount();
            }
            if (reached == budget) {
                return key;
            }
            if (reached < budget) {
                high = middle;
            } else {
                low = middle;
            }
        }
        return -1;
    }

    /** Puts each candidate where the number of larger ones says: no branch depends on the data. */
    private void writeByRank(int found, int budget, CodeBatch codes, int row) {
        for (int i = 0; i < LONGS.length(); i++) {
            candidates[found + i] = 0; // below every key: values are positive
        }
        for (int i = 0; i < found; i++) {
            long key = candidates[i];
            int rank = 0;
            for (int from = 0; from < found; from += LONGS.length()) {
                rank += LongVector.fromArray(LONGS, candidates, from)
                        .compare(GT, key)
                        .trueCount();
            }
            if (rank < budget) {
                write(key, rank, codes, row);
            }
        }
        pad(Math.min(found, budget), budget, codes, row);
    }

    /** Keeps the best in a heap, the worst of them on top, then takes them off from the worst on. */
    private void writeByHeap(int found, int budget, CodeBatch codes, int row) {
        int kept = Math.min(found, budget);
        for (int i = kept / 2 - 1; i >= 0; i--) {
            siftDown(i, kept);
        }
        for (int i = kept; i < found; i++) {
            if (candidates[i] > candidates[0]) {
                candidates[0] = candidates[i];
                siftDown(0, kept);
            }
        }
        for (int last = kept - 1; last >= 0; last--) {
            write(candidates[0], last, codes, row);
            candidates[0] = candidates[last];
            siftDown(0, last);
        }
        pad(kept, budget, codes, row);
    }

    private void siftDown(int from, int size) {
        int parent = from;
        while (2 * parent + 1 < size) {
            int child = 2 * parent + 1;
            if (child + 1 < size && candidates[child + 1] < candidates[child]) {
                child++;
            }
            if (candidates[parent] <= candidates[child]) {
                return;
            }
            long key = candidates[parent];
            candidates[parent] = candidates[child];
            candidates[child] = key;
            parent = child;
        }
    }

    private static void write(long key, int pair, CodeBatch codes, int row) {
        long at = (long) row * codes.budget() + pair;
        codes.indices().setAtIndex(JAVA_INT, at, ~(int) key);
        codes.coefficients().setAtIndex(JAVA_FLOAT, at, Float.intBitsToFloat((int) (key >>> Integer.SIZE)));
    }

    private static void pad(int count, int budget, CodeBatch codes, int row) {
        for (int pair = count; pair < budget; pair++) {
            long at = (long) row * budget + pair;
            codes.indices().setAtIndex(JAVA_INT, at, 0);
            codes.coefficients().setAtIndex(JAVA_FLOAT, at, 0f);
        }
        codes.counts().setAtIndex(JAVA_INT, row, count);
    }
}
