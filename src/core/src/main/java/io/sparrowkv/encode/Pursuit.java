package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static jdk.incubator.vector.VectorOperators.EQ;
import static jdk.incubator.vector.VectorOperators.GT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * The pursuit of {@link Refinement}, one vector at a time, with the memory of one worker.
 *
 * <p>For every candidate it carries the product with the residual, c, and the squared length of the atom's part that is orthogonal
 * to all chosen atoms, n: choosing it would take c²/n off the squared error. After each choice one row of the Gram matrix, the
 * chosen atom's products with all candidates, gives one more row of the candidates' coordinates in the orthonormal basis of the
 * chosen atoms (a Cholesky factor), which brings c and n up to date. The coefficients come out of that triangle in the end.
 *
 * <p>Lanes are candidates. Their atoms are transposed once for each vector, so that a row of the Gram matrix needs no sum across
 * lanes: at C = 64 and dHead 128 they are 32 KiB and stay in the first-level cache while they are read K times. They are moved and
 * multiplied two neighbouring floats at a time, as one long, which halves the moves; the two half sums of a candidate are added at
 * the end of a row. {@code RefineBenchmark} has the cost.
 */
final class Pursuit {
    private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, FLOATS.vectorShape());
    private static final int LANES = FLOATS.length();
    private static final int LONG_LANES = LANES / 2;
    private static final long VECTOR_BYTES = (long) LANES * Float.BYTES;
    private static final ByteOrder ORDER = ByteOrder.nativeOrder();

    private static final VectorMask<Float> ODD = VectorMask.fromLong(FLOATS, 0xAAAA_AAAA_AAAA_AAAAL);

    private static final VectorShuffle<Float> SWAP = VectorShuffle.fromOp(FLOATS, lane -> lane ^ 1);

    /** Vectors of candidates whose sums are held in registers at once. */
    private static final int TILE = 4;

    /** Longs of one pair of dimensions of a tile, and of a single vector of candidates. */
    private static final int TILE_LONGS = 2 * TILE * LONG_LANES;

    private static final int SINGLE_LONGS = 2 * LONG_LANES;

    /** An atom of whose squared length no more than this is new against those chosen is left alone: its coefficient would be noise. */
    static final float LEAST_NEW = 1e-4f;

    /** The pursuit ends when no candidate takes off more than this part of the vector's square: fp32 sees no more. */
    static final float LEAST_GAIN = 1e-9f;

    private MemorySegment centred = MemorySegment.NULL;
    private float[] vector = {};
    private float[] turned = {};
    private int[] latents = {};

    /**
     * Transposed atoms: for each tile, then for each vector of candidates that is left, {@code [pairs, longs]}; candidate c of a vector
     * is long c / 2 of its first half where c is even, of its second where it is odd.
     */
    private MemorySegment atoms = MemorySegment.NULL;

    /** c by candidate. */
    private float[] products = {};
    /** n by candidate, and the value that it must exceed. */
    private float[] lengths = {};

    private float[] floors = {};
    /** c²/n by candidate, 0 for those that cannot be chosen. */
    private float[] gains = {};
    /** Coordinates of the candidates, {@code [vectors, K, LANES]}. */
    private float[] coordinates = {};

    private int[] chosen = {};
    /** Coordinates of the atom chosen last, negated. */
    private float[] own = {};

    private float[] diagonal = {};
    private float[] along = {};
    private float[] coefficients = {};

    private PursuitAtoms dictionary;
    private Coefficients form;
    /** Part of the vector's square that ends the pursuit when no more is left; negative when it goes on to the budget. */
    private float enough;

    private int vectors;
    private int budget;

    /**
     * Makes room for codes of {@code budget} pairs among {@code candidates} latents.
     *
     * @param form what their coefficients will be kept as
     * @param refinement where they end
     */
    void fit(PursuitAtoms dictionary, int candidates, int budget, Coefficients form, Refinement refinement) {
        this.dictionary = dictionary;
        this.form = form;
        enough = refinement.bounded() ? (float) (refinement.errorBound() * refinement.errorBound()) : -1;
        this.budget = budget;
        vectors = (candidates + LANES - 1) / LANES;
        int lanes = vectors * LANES;
        int pairs = dictionary.pairs();
        long width = 2L * pairs * Float.BYTES;
        int dHead = dictionary.dictionary().dHead();
        if (vector.length != dHead) {
            centred = Arena.ofAuto().allocate(width, 64);
            vector = new float[dHead];
            turned = new float[vector.length];
        }
        if (latents.length < lanes) {
            latents = new int[lanes];
            products = new float[lanes];
            lengths = new float[lanes];
            floors = new float[lanes];
            gains = new float[lanes];
        }
        long bytes = (long) pairs * lanes * Long.BYTES;
        if (atoms.byteSize() < bytes) {
            atoms = Arena.ofAuto().allocate(bytes, 64);
        }
        coordinates = coordinates.length < budget * lanes ? new float[budget * lanes] : coordinates;
        if (chosen.length < budget) {
            chosen = new int[budget];
            own = new float[budget];
            diagonal = new float[budget];
            along = new float[budget];
            coefficients = new float[budget];
        }
    }

    /** The vector to code next, less the dictionary's centre; written by the caller, {@code [dHead]}. */
    float[] vector() {
        return vector;
    }

    /** The latents to choose among, as many as {@link #fit} was told; written by the caller. */
    int[] candidates() {
        return latents;
    }

    /**
     * Codes the vector.
     *
     * @param count candidates that were written
     * @param codes shaped for the budget
     * @param row where in {@code codes} the code goes
     */
    void choose(int count, CodeBatch codes, int row) {
        MemorySegment.copy(dictionary.turn(vector, turned), 0, centred, JAVA_FLOAT, 0, vector.length);
        float square = gather(count);
        float left = square;
        int found = 0;
        project(centred, 0, -1);
        while (found < budget && left > enough * square) {
            int best = best(LEAST_GAIN * square);
            if (best < 0) {
                break;
            }
            float length = (float) Math.sqrt(lengths[best]);
            chosen[found] = best;
            diagonal[found] = length;
            along[found] = products[best] / length;
            left -= gains[best];
            found++;
            if (found < budget) {
                project(dictionary.rows(), dictionary.at(latents[best]), found - 1);
                lengths[best] = 0; // an atom is chosen once
                gains[best] = 0;
            }
        }
        solve(found);
        for (int pair = 0; pair < budget; pair++) {
            long at = (long) row * budget + pair;
            boolean kept = pair < found;
            codes.indices().setAtIndex(JAVA_INT, at, kept ? latents[chosen[pair]] : 0);
            codes.coefficients().setAtIndex(JAVA_FLOAT, at, kept ? coefficients[pair] : 0f);
        }
        codes.counts().setAtIndex(JAVA_INT, row, found);
    }

    /** Brings the vector into pairs and the candidates' atoms into lanes; returns the vector's square. */
    private float gather(int count) {
        int pairs = dictionary.pairs();
        float square = 0;
        for (int p = 0; p < pairs; p++) {
            float first = centred.getAtIndex(JAVA_FLOAT, 2L * p);
            float second = centred.getAtIndex(JAVA_FLOAT, 2L * p + 1);
            square = Math.fma(first, first, Math.fma(second, second, square));
        }
        int lanes = vectors * LANES;
        Arrays.fill(latents, count, lanes, dictionary.dictionary().latents());
        float[] squares = dictionary.squares();
        for (int i = 0; i < lanes; i++) {
            float length = squares[latents[i]];
            lengths[i] = length;
            floors[i] = LEAST_NEW * length;
        }
        for (int v = 0; v < vectors; v++) {
            boolean tiled = v < vectors / TILE * TILE;
            int base = tiled ? v / TILE * TILE * LANES * pairs + v % TILE * SINGLE_LONGS : v * LANES * pairs;
            for (int lane = 0; lane < LANES; lane += 4) {
                int c = v * LANES + lane;
                int at = base + lane / 2;
                // Two and two are neighbours where they go, so that their stores meet in one line.
                if (tiled) {
                    moveToTile(latents[c], latents[c + 2], at);
                    moveToTile(latents[c + 1], latents[c + 3], at + LONG_LANES);
                } else {
                    moveToSingle(latents[c], latents[c + 2], at);
                    moveToSingle(latents[c + 1], latents[c + 3], at + LONG_LANES);
                }
            }
        }
        return square;
    }

    private void moveToTile(int first, int second, int to) {
        MemorySegment rows = dictionary.rows();
        long a = dictionary.at(first);
        long b = dictionary.at(second);
        int pairs = dictionary.pairs();
        for (int p = 0; p < pairs; p++) {
            long at = (to + (long) p * TILE_LONGS) * Long.BYTES;
            atoms.set(JAVA_LONG_UNALIGNED, at, rows.get(JAVA_LONG_UNALIGNED, a + (long) p * Long.BYTES));
            atoms.set(JAVA_LONG_UNALIGNED, at + Long.BYTES, rows.get(JAVA_LONG_UNALIGNED, b + (long) p * Long.BYTES));
        }
    }

    private void moveToSingle(int first, int second, int to) {
        MemorySegment rows = dictionary.rows();
        long a = dictionary.at(first);
        long b = dictionary.at(second);
        int pairs = dictionary.pairs();
        for (int p = 0; p < pairs; p++) {
            long at = (to + (long) p * SINGLE_LONGS) * Long.BYTES;
            atoms.set(JAVA_LONG_UNALIGNED, at, rows.get(JAVA_LONG_UNALIGNED, a + (long) p * Long.BYTES));
            atoms.set(JAVA_LONG_UNALIGNED, at + Long.BYTES, rows.get(JAVA_LONG_UNALIGNED, b + (long) p * Long.BYTES));
        }
    }

    /**
     * Multiplies all candidates with one vector of pairs: the vector to code when {@code step} is negative, which begins c; else the
     * atom chosen in that step, which ends in new coordinates, c and n.
     */
    private void project(MemorySegment with, long at, int step) {
        if (step >= 0) {
            int lane = chosen[step] % LANES;
            int first = chosen[step] / LANES * budget * LANES + lane;
            for (int i = 0; i < step; i++) {
                own[i] = -coordinates[first + i * LANES];
            }
        }
        int pairs = dictionary.pairs();
        int v = 0;
        for (; v <= vectors - TILE; v += TILE) {
            multiplyTile(with, at, pairs, v);
        }
        for (; v < vectors; v++) {
            multiplySingle(with, at, pairs, v);
        }
        for (v = 0; v < vectors; v++) {
            if (step < 0) {
                begin(v * LANES);
            } else {
                update(v, step);
            }
        }
    }

    private void multiplyTile(MemorySegment with, long at, int pairs, int v) {
        FloatVector s0 = FloatVector.zero(FLOATS);
        FloatVector s1 = s0;
        FloatVector s2 = s0;
        FloatVector s3 = s0;
        FloatVector s4 = s0;
        FloatVector s5 = s0;
        FloatVector s6 = s0;
        FloatVector s7 = s0;
        MemorySegment atoms = this.atoms;
        long first = (long) v * LANES * pairs * Long.BYTES;
        for (int p = 0; p < pairs; p++) {
            long from = first + (long) p * TILE_LONGS * Long.BYTES;
            FloatVector x = pair(with, at + 2L * p * Float.BYTES);
            s0 = load(atoms, from).fma(x, s0);
            s1 = load(atoms, from + VECTOR_BYTES).fma(x, s1);
            s2 = load(atoms, from + 2 * VECTOR_BYTES).fma(x, s2);
            s3 = load(atoms, from + 3 * VECTOR_BYTES).fma(x, s3);
            s4 = load(atoms, from + 4 * VECTOR_BYTES).fma(x, s4);
            s5 = load(atoms, from + 5 * VECTOR_BYTES).fma(x, s5);
            s6 = load(atoms, from + 6 * VECTOR_BYTES).fma(x, s6);
            s7 = load(atoms, from + 7 * VECTOR_BYTES).fma(x, s7);
        }
        int to = v * LANES;
        fold(s0, s1).intoArray(gains, to);
        fold(s2, s3).intoArray(gains, to + LANES);
        fold(s4, s5).intoArray(gains, to + 2 * LANES);
        fold(s6, s7).intoArray(gains, to + 3 * LANES);
    }

    private void multiplySingle(MemorySegment with, long at, int pairs, int v) {
        FloatVector s0 = FloatVector.zero(FLOATS);
        FloatVector s1 = s0;
        FloatVector t0 = s0;
        FloatVector t1 = s0;
        MemorySegment atoms = this.atoms;
        long first = (long) v * LANES * pairs * Long.BYTES;
        int p = 0;
        for (; p < pairs - 1; p += 2) {
            long from = first + (long) p * SINGLE_LONGS * Long.BYTES;
            FloatVector x = pair(with, at + 2L * p * Float.BYTES);
            FloatVector y = pair(with, at + 2L * (p + 1) * Float.BYTES);
            s0 = load(atoms, from).fma(x, s0);
            s1 = load(atoms, from + VECTOR_BYTES).fma(x, s1);
            t0 = load(atoms, from + 2 * VECTOR_BYTES).fma(y, t0);
            t1 = load(atoms, from + 3 * VECTOR_BYTES).fma(y, t1);
        }
        if (p < pairs) {
            long from = first + (long) p * SINGLE_LONGS * Long.BYTES;
            FloatVector x = pair(with, at + 2L * p * Float.BYTES);
            s0 = load(atoms, from).fma(x, s0);
            s1 = load(atoms, from + VECTOR_BYTES).fma(x, s1);
        }
        fold(s0.add(t0), s1.add(t1)).intoArray(gains, v * LANES);
    }

    /** Two neighbouring floats in all pairs of lanes. A broadcast long would do it in one step, but its reinterpretation is boxed. */
    private static FloatVector pair(MemorySegment floats, long at) {
        return FloatVector.broadcast(FLOATS, floats.get(JAVA_FLOAT_UNALIGNED, at))
                .blend(floats.get(JAVA_FLOAT_UNALIGNED, at + Float.BYTES), ODD);
    }

    private static FloatVector load(MemorySegment pairs, long at) {
        return FloatVector.fromMemorySegment(FLOATS, pairs, at, ORDER);
    }

    /** Half sums of the even candidates and of the odd ones to the sums of all in their order. */
    private static FloatVector fold(FloatVector even, FloatVector odd) {
        return even.add(even.rearrange(SWAP)).blend(odd.add(odd.rearrange(SWAP)), ODD);
    }

    /** Products with the vector itself, left in {@link #gains}, are the first c; n is there. */
    private void begin(int at) {
        FloatVector product = FloatVector.fromArray(FLOATS, gains, at);
        product.intoArray(products, at);
        weigh(product, FloatVector.fromArray(FLOATS, lengths, at), at);
    }

    /** Products with the chosen atom, left in {@link #gains}, less what earlier coordinates explain, are the new coordinates. */
    private void update(int v, int step) {
        int at = v * LANES;
        int first = v * budget * LANES;
        FloatVector product = FloatVector.fromArray(FLOATS, gains, at);
        for (int i = 0; i < step; i++) {
            product = FloatVector.fromArray(FLOATS, coordinates, first + i * LANES)
                    .fma(FloatVector.broadcast(FLOATS, own[i]), product);
        }
        FloatVector coordinate = product.mul(1 / diagonal[step]);
        coordinate.intoArray(coordinates, first + step * LANES);
        FloatVector length = coordinate.neg().fma(coordinate, FloatVector.fromArray(FLOATS, lengths, at));
        length.intoArray(lengths, at);
        FloatVector rest = coordinate.fma(
                FloatVector.broadcast(FLOATS, -along[step]), FloatVector.fromArray(FLOATS, products, at));
        rest.intoArray(products, at);
        weigh(rest, length, at);
    }

    private void weigh(FloatVector product, FloatVector length, int at) {
        FloatVector gain = product.mul(product).div(length);
        FloatVector.zero(FLOATS)
                .blend(gain, length.compare(GT, FloatVector.fromArray(FLOATS, floors, at)))
                .intoArray(gains, at);
    }

    /** The candidate with the largest gain, the first of equals; −1 when none exceeds {@code least}. */
    private int best(float least) {
        // Bits of non-negative floats are ordered as the floats are.
        IntVector largest = IntVector.zero(INTS);
        for (int v = 0; v < vectors; v++) {
            largest = largest.max(bits(v));
        }
        int gain = largest.reduceLanes(VectorOperators.MAX);
        if (!(Float.intBitsToFloat(gain) > least)) {
            return -1;
        }
        for (int v = 0; v < vectors; v++) {
            int lane = bits(v).compare(EQ, gain).firstTrue();
            if (lane < LANES) {
                return v * LANES + lane;
            }
        }
        throw new IllegalStateException("the largest of the gains is not among them");
    }

    private IntVector bits(int v) {
        return FloatVector.fromArray(FLOATS, gains, v * LANES).reinterpretAsInts();
    }

    /** Coefficients of the chosen atoms from their coordinates, by back substitution. */
    private void solve(int found) {
        for (int i = found - 1; i >= 0; i--) {
            coefficients[i] = substitute(i, found);
        }
        if (form.scaled() && found > 0) {
            round(found);
        }
    }

    /** The coefficient of the i-th chosen atom that fits best, given those of the atoms chosen later. */
    private float substitute(int i, int found) {
        float sum = along[i];
        for (int j = i + 1; j < found; j++) {
            int c = chosen[j];
            float coordinate = coordinates[(c / LANES * budget + i) * LANES + c % LANES];
            sum = Math.fma(-coordinate, coefficients[j], sum);
        }
        return sum / diagonal[i];
    }

    /**
     * Rounds the coefficients to levels from the last chosen to the first, each fitted to what those before it have left (Babai's nearest
     * plane: 1986). The largest stays where it is, since it is the scale.
     */
    private void round(int found) {
        short scale = form.scale(coefficients, found);
        float step = form.step(scale);
        int zero = form.zero(scale);
        int most = form.most(scale);
        int largest = form.largest(coefficients, found, scale);
        for (int i = found - 1; i >= 0; i--) {
            float exact = i == largest ? coefficients[i] : substitute(i, found);
            coefficients[i] = Coefficients.value(Coefficients.level(exact, step, zero, most), step, zero);
        }
    }
}
