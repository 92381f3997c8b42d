package io.sparrowkv.encode;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * The atoms of one vector's candidates, laid out for what a {@link Pursuit} does with them K times: to multiply all of them with one
 * more atom or with the vector. {@code docs/fidelity.md} has what that takes, and what bounds it.
 *
 * <p>Four neighbouring dimensions of an atom move as one and stay neighbours, in as many candidates as fill a vector. So they are moved
 * with a quarter of the moves that a transposition takes, and of the sums that a register holds only four at a time belong to one
 * candidate: two folds for each vector of candidates bring them together. At C = 64 and dHead 128 the atoms are 32 KiB.
 *
 * <pre>
 * fp32 [tiles][quads][TILE][4][LANES]   quads = dHead / 4, rounded up
 * </pre>
 *
 * <p>Candidate c is number c % LANES of vector c / LANES, TILE vectors to a tile. Number i of a vector lies in lanes 4 (i / 4) to
 * 4 (i / 4) + 3 of register i % 4, which is where the folds need it for products in the order of candidates.
 */
final class CandidateAtoms {
    /** At least 128 bits, where the machine prefers less: a quad needs them. */
    static final VectorSpecies<Float> FLOATS =
            FloatVector.SPECIES_PREFERRED.length() < 4 ? FloatVector.SPECIES_128 : FloatVector.SPECIES_PREFERRED;

    static final int LANES = FLOATS.length();

    private static final VectorSpecies<Float> QUADS = FloatVector.SPECIES_128;
    private static final int QUAD = QUADS.length();

    /** Vectors of candidates whose sums are in registers at once, four registers each. */
    private static final int TILE = 2;

    /** Floats of one quad of dimensions of a tile. */
    private static final int STEP = TILE * QUAD * LANES;

    /** Whether the sums of two tiles fit in the registers; those of AVX-512 are 32, which only it has of this length. */
    private static final boolean TWO_TILES = LANES >= 16;

    private static final VectorMask<Float> ODD = VectorMask.fromLong(FLOATS, 0xAAAA_AAAA_AAAA_AAAAL);
    private static final VectorMask<Float> UPPER = VectorMask.fromLong(FLOATS, 0xCCCC_CCCC_CCCC_CCCCL);
    private static final VectorShuffle<Float> NEIGHBOUR = VectorShuffle.fromOp(FLOATS, lane -> lane ^ 1);
    private static final VectorShuffle<Float> OTHER_HALF = VectorShuffle.fromOp(FLOATS, lane -> lane ^ 2);

    /** Brings one quad of a vector to all of them. */
    private final VectorShuffle<Float>[] spread;

    private float[] atoms = {};
    /** Sums of one pass on their way to the folds, {@code [2 * TILE, 4, LANES]}. */
    private final float[] sums = new float[2 * TILE * QUAD * LANES];

    private int quads;
    private int tiles;

    @SuppressWarnings({"unchecked", "rawtypes"}) // no array of a generic type can be made otherwise
    CandidateAtoms() {
        spread = new VectorShuffle[LANES / QUAD];
        for (int i = 0; i < spread.length; i++) {
            int first = i * QUAD;
            spread[i] = VectorShuffle.fromOp(FLOATS, lane -> first + lane % QUAD);
        }
    }

    /**
     * Makes room.
     *
     * @param width floats of an atom, a multiple of four
     */
    void fit(int width, int candidates) {
        quads = width / QUAD;
        tiles = Math.ceilDiv(candidates, TILE * LANES);
        int floats = Math.multiplyExact(tiles * quads, STEP);
        if (atoms.length < floats) {
            atoms = new float[floats];
        }
    }

    /** Lanes of all candidates' products, at least as many as there are candidates. */
    int lanes() {
        return tiles * TILE * LANES;
    }

    /** Moves the atoms of latents here, {@link #lanes} of them. */
    void gather(PursuitAtoms dictionary, int[] latents) {
        float[] rows = dictionary.rows();
        for (int v = 0; v < tiles * TILE; v++) {
            for (int j = 0; j < QUAD; j++) {
                int i = v * LANES + j;
                int end = (v + 1) * LANES;
                for (; i + QUAD < end; i += 2 * QUAD) {
                    moveTwo(rows, dictionary.at(latents[i]), dictionary.at(latents[i + QUAD]), at(i));
                }
                if (i < end) {
                    moveOne(rows, dictionary.at(latents[i]), at(i));
                }
            }
        }
    }

    /** Two that are neighbours where they go, so that their stores meet in one line. */
    private void moveTwo(float[] rows, int first, int second, int to) {
        for (int q = 0; q < quads; q++) {
            FloatVector.fromArray(QUADS, rows, first + q * QUAD).intoArray(atoms, to + q * STEP);
            FloatVector.fromArray(QUADS, rows, second + q * QUAD).intoArray(atoms, to + QUAD + q * STEP);
        }
    }

    private void moveOne(float[] rows, int first, int to) {
        for (int q = 0; q < quads; q++) {
            FloatVector.fromArray(QUADS, rows, first + q * QUAD).intoArray(atoms, to + q * STEP);
        }
    }

    /** Where a candidate's first four floats are. */
    private int at(int candidate) {
        return register(candidate) + candidate % LANES / QUAD * QUAD;
    }

    /** Where the register begins that holds a candidate's first four floats. */
    private int register(int candidate) {
        int vector = candidate / LANES;
        return vector / TILE * quads * STEP + (vector % TILE * QUAD + candidate % QUAD) * LANES;
    }

    /**
     * Multiplies all candidates with a vector.
     *
     * @param with from 0 on, filled up to a multiple of four with zeros and followed by {@link #LANES} floats more, whatever they are
     * @param products written, {@link #lanes} of them
     */
    void multiply(float[] with, float[] products) {
        multiply(with, 0, QUAD, spread[0], products);
    }

    /** Multiplies all candidates with one of them. */
    void multiply(int candidate, float[] products) {
        multiply(atoms, register(candidate), STEP, spread[candidate % LANES / QUAD], products);
    }

    private void multiply(float[] with, int at, int stride, VectorShuffle<Float> quad, float[] products) {
        int tile = 0;
        for (; TWO_TILES && tile + 2 <= tiles; tile += 2) {
            multiplyTwo(tile, with, at, stride, quad);
            for (int v = 0; v < 2 * TILE; v++) {
                fold(v).intoArray(products, (tile * TILE + v) * LANES);
            }
        }
        for (; tile < tiles; tile++) {
            multiplyOne(tile, with, at, stride, quad);
            for (int v = 0; v < TILE; v++) {
                fold(v).intoArray(products, (tile * TILE + v) * LANES);
            }
        }
    }

    private static FloatVector load(float[] atoms, int at) {
        return FloatVector.fromArray(FLOATS, atoms, at);
    }

    private void multiplyTwo(int tile, float[] with, int at, int stride, VectorShuffle<Float> quad) {
        float[] atoms = this.atoms;
        int first = tile * quads * STEP;
        int second = first + quads * STEP;
        FloatVector a0 = FloatVector.zero(FLOATS);
        FloatVector a1 = a0;
        FloatVector a2 = a0;
        FloatVector a3 = a0;
        FloatVector b0 = a0;
        FloatVector b1 = a0;
        FloatVector b2 = a0;
        FloatVector b3 = a0;
        FloatVector c0 = a0;
        FloatVector c1 = a0;
        FloatVector c2 = a0;
        FloatVector c3 = a0;
        FloatVector d0 = a0;
        FloatVector d1 = a0;
        FloatVector d2 = a0;
        FloatVector d3 = a0;
        for (int q = 0; q < quads; q++) {
            FloatVector x = load(with, at + q * stride).rearrange(quad);
            int from = first + q * STEP;
            a0 = load(atoms, from).fma(x, a0);
            a1 = load(atoms, from + LANES).fma(x, a1);
            a2 = load(atoms, from + 2 * LANES).fma(x, a2);
            a3 = load(atoms, from + 3 * LANES).fma(x, a3);
            b0 = load(atoms, from + 4 * LANES).fma(x, b0);
            b1 = load(atoms, from + 5 * LANES).fma(x, b1);
            b2 = load(atoms, from + 6 * LANES).fma(x, b2);
            b3 = load(atoms, from + 7 * LANES).fma(x, b3);
            int next = second + q * STEP;
            c0 = load(atoms, next).fma(x, c0);
            c1 = load(atoms, next + LANES).fma(x, c1);
            c2 = load(atoms, next + 2 * LANES).fma(x, c2);
            c3 = load(atoms, next + 3 * LANES).fma(x, c3);
            d0 = load(atoms, next + 4 * LANES).fma(x, d0);
            d1 = load(atoms, next + 5 * LANES).fma(x, d1);
            d2 = load(atoms, next + 6 * LANES).fma(x, d2);
            d3 = load(atoms, next + 7 * LANES).fma(x, d3);
        }
        a0.intoArray(sums, 0);
        a1.intoArray(sums, LANES);
        a2.intoArray(sums, 2 * LANES);
        a3.intoArray(sums, 3 * LANES);
        b0.intoArray(sums, 4 * LANES);
        b1.intoArray(sums, 5 * LANES);
        b2.intoArray(sums, 6 * LANES);
        b3.intoArray(sums, 7 * LANES);
        c0.intoArray(sums, 8 * LANES);
        c1.intoArray(sums, 9 * LANES);
        c2.intoArray(sums, 10 * LANES);
        c3.intoArray(sums, 11 * LANES);
        d0.intoArray(sums, 12 * LANES);
        d1.intoArray(sums, 13 * LANES);
        d2.intoArray(sums, 14 * LANES);
        d3.intoArray(sums, 15 * LANES);
    }

    private void multiplyOne(int tile, float[] with, int at, int stride, VectorShuffle<Float> quad) {
        float[] atoms = this.atoms;
        int first = tile * quads * STEP;
        FloatVector a0 = FloatVector.zero(FLOATS);
        FloatVector a1 = a0;
        FloatVector a2 = a0;
        FloatVector a3 = a0;
        FloatVector b0 = a0;
        FloatVector b1 = a0;
        FloatVector b2 = a0;
        FloatVector b3 = a0;
        for (int q = 0; q < quads; q++) {
            FloatVector x = load(with, at + q * stride).rearrange(quad);
            int from = first + q * STEP;
            a0 = load(atoms, from).fma(x, a0);
            a1 = load(atoms, from + LANES).fma(x, a1);
            a2 = load(atoms, from + 2 * LANES).fma(x, a2);
            a3 = load(atoms, from + 3 * LANES).fma(x, a3);
            b0 = load(atoms, from + 4 * LANES).fma(x, b0);
            b1 = load(atoms, from + 5 * LANES).fma(x, b1);
            b2 = load(atoms, from + 6 * LANES).fma(x, b2);
            b3 = load(atoms, from + 7 * LANES).fma(x, b3);
        }
        a0.intoArray(sums, 0);
        a1.intoArray(sums, LANES);
        a2.intoArray(sums, 2 * LANES);
        a3.intoArray(sums, 3 * LANES);
        b0.intoArray(sums, 4 * LANES);
        b1.intoArray(sums, 5 * LANES);
        b2.intoArray(sums, 6 * LANES);
        b3.intoArray(sums, 7 * LANES);
    }

    /** Sums each quad of lanes of a vector's four registers; the sum of a quad of register j goes to the quad's lane j. */
    private FloatVector fold(int vector) {
        int from = vector * QUAD * LANES;
        FloatVector s0 = FloatVector.fromArray(FLOATS, sums, from);
        FloatVector s1 = FloatVector.fromArray(FLOATS, sums, from + LANES);
        FloatVector s2 = FloatVector.fromArray(FLOATS, sums, from + 2 * LANES);
        FloatVector s3 = FloatVector.fromArray(FLOATS, sums, from + 3 * LANES);
        FloatVector lower = s0.blend(s1, ODD).add(s1.blend(s0, ODD).rearrange(NEIGHBOUR));
        FloatVector upper = s2.blend(s3, ODD).add(s3.blend(s2, ODD).rearrange(NEIGHBOUR));
        return lower.blend(upper, UPPER).add(upper.blend(lower, UPPER).rearrange(OTHER_HALF));
    }
}
