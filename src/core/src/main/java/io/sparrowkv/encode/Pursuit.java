package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static jdk.incubator.vector.VectorOperators.EQ;
import static jdk.incubator.vector.VectorOperators.GT;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The pursuit of {@link Refinement}, one vector at a time, with the memory of one worker.
 *
 * <p>For every candidate it carries the product with the residual, c, and the squared length of the atom's part that is orthogonal
 * to all chosen atoms, n: choosing it would take c²/n off the squared error. After each choice one row of the Gram matrix, the
 * chosen atom's products with all candidates ({@link CandidateAtoms}), gives one more row of the candidates' coordinates in the
 * orthonormal basis of the chosen atoms (a Cholesky factor), which brings c and n up to date. The coefficients come out of that
 * triangle in the end.
 *
 * <p>Lanes are candidates, or coefficients. Nothing between two choices branches on the data, so that the next row's products begin
 * while the last one's are summed. {@code RefineBenchmark} has the cost.
 */
final class Pursuit {
    private static final VectorSpecies<Float> FLOATS = CandidateAtoms.FLOATS;
    private static final int LANES = CandidateAtoms.LANES;

    /** An atom of whose squared length no more than this is new against those chosen is left alone: its coefficient would be noise. */
    static final float LEAST_NEW = 1e-4f;

    /** The pursuit ends when no candidate takes off more than this part of the vector's square: fp32 sees no more. */
    static final float LEAST_GAIN = 1e-9f;

    private final CandidateAtoms atoms = new CandidateAtoms();

    private float[] vector = {};
    private float[] turned = {};
    /** The vector to code, as {@link CandidateAtoms#multiply} wants it. */
    private float[] padded = {};

    private int[] latents = {};

    /** What {@link #atoms} was last multiplied with, by candidate. */
    private float[] fresh = {};
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
    /** Negated coordinates of the chosen atoms in those chosen before them, {@code [K, stride]}; zeros past them. */
    private float[] triangle = {};

    private int stride;
    private float[] diagonal = {};
    private float[] along = {};
    /** What {@link #solve} has left to explain along each chosen atom. */
    private float[] rest = {};

    private float[] coefficients = {};

    private PursuitAtoms dictionary;
    private Coefficients form;
    /** Part of the vector's square that ends the pursuit when no more is left; negative when it goes on to the budget. */
    private float enough;

    private int lanes;
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
        int dHead = dictionary.dictionary().dHead();
        if (vector.length != dHead) {
            vector = new float[dHead];
            turned = new float[dHead];
            padded = new float[dictionary.width() + LANES];
        }
        atoms.fit(dictionary.width(), candidates);
        lanes = atoms.lanes();
        if (latents.length < lanes) {
            latents = new int[lanes];
            fresh = new float[lanes];
            products = new float[lanes];
            lengths = new float[lanes];
            floors = new float[lanes];
            gains = new float[lanes];
        }
        if (coordinates.length < budget * lanes) {
            coordinates = new float[budget * lanes];
        }
        this.budget = budget;
        if (chosen.length < budget) {
            stride = Math.ceilDiv(budget, LANES) * LANES;
            chosen = new int[budget];
            triangle = new float[budget * stride];
            diagonal = new float[budget];
            along = new float[stride];
            rest = new float[stride];
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
        begin(count);
        float square = square();
        float left = square;
        int found = 0;
        while (found < budget && left > enough * square) {
            int best = best(LEAST_GAIN * square);
            if (best < 0) {
                break;
            }
            left -= gains[best];
            take(best, found);
            found++;
            if (found < budget) {
                update(best, found - 1);
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

    /** Brings the vector and the candidates' atoms where they are multiplied; the first c and n. */
    private void begin(int count) {
        System.arraycopy(dictionary.turn(vector, turned), 0, padded, 0, vector.length);
        Arrays.fill(latents, count, lanes, dictionary.dictionary().latents());
        atoms.gather(dictionary, latents);
        float[] squares = dictionary.squares();
        for (int i = 0; i < lanes; i++) {
            float length = squares[latents[i]];
            lengths[i] = length;
            floors[i] = LEAST_NEW * length;
        }
        atoms.multiply(padded, products);
        for (int at = 0; at < lanes; at += LANES) {
            weigh(FloatVector.fromArray(FLOATS, products, at), FloatVector.fromArray(FLOATS, lengths, at), at);
        }
    }

    private float square() {
        FloatVector sum = FloatVector.zero(FLOATS);
        // Zeros follow the vector up to a whole one.
        for (int i = 0; i < vector.length; i += LANES) {
            FloatVector x = FloatVector.fromArray(FLOATS, padded, i);
            sum = x.fma(x, sum);
        }
        return sum.reduceLanes(VectorOperators.ADD);
    }

    /** The candidate with the largest gain; −1 when none exceeds {@code least}. */
    private int best(float least) {
        FloatVector largest = FloatVector.zero(FLOATS);
        for (int at = 0; at < lanes; at += LANES) {
            FloatVector gain = gains(at);
            largest = largest.blend(gain, gain.compare(GT, largest)); // Vector.max would also look for NaN and -0
        }
        float gain = largest.reduceLanes(VectorOperators.MAX);
        if (!(gain > least)) {
            return -1;
        }
        for (int first = 0; ; first += Long.SIZE) {
            long equal = 0;
            int end = Math.min(lanes, first + Long.SIZE);
            for (int at = first; at < end; at += LANES) {
                equal |= gains(at).compare(EQ, gain).toLong() << (at - first);
            }
            if (equal != 0) {
                return first + Long.numberOfTrailingZeros(equal);
            }
        }
    }

    private FloatVector gains(int at) {
        return FloatVector.fromArray(FLOATS, gains, at);
    }

    /** Makes a candidate the {@code step}-th chosen atom. */
    private void take(int candidate, int step) {
        float length = (float) Math.sqrt(lengths[candidate]);
        chosen[step] = candidate;
        diagonal[step] = length;
        along[step] = products[candidate] / length;
        int from = candidate / LANES * budget * LANES + candidate % LANES;
        for (int i = 0; i < step; i++) {
            triangle[step * stride + i] = -coordinates[from + i * LANES];
        }
    }

    /** Coordinates of all candidates in the atom just chosen; c and n with it. */
    private void update(int candidate, int step) {
        atoms.multiply(candidate, fresh);
        float inverse = 1 / diagonal[step];
        float less = -along[step];
        for (int at = 0; at < lanes; at += LANES) {
            int first = at * budget;
            FloatVector product = FloatVector.fromArray(FLOATS, fresh, at);
            for (int i = 0; i < step; i++) {
                product = FloatVector.fromArray(FLOATS, coordinates, first + i * LANES)
                        .fma(FloatVector.broadcast(FLOATS, triangle[step * stride + i]), product);
            }
            FloatVector coordinate = product.mul(inverse);
            coordinate.intoArray(coordinates, first + step * LANES);
            FloatVector length = coordinate.neg().fma(coordinate, FloatVector.fromArray(FLOATS, lengths, at));
            length.intoArray(lengths, at);
            FloatVector rest =
                    coordinate.fma(FloatVector.broadcast(FLOATS, less), FloatVector.fromArray(FLOATS, products, at));
            rest.intoArray(products, at);
            weigh(rest, length, at);
        }
        lengths[candidate] = 0; // an atom is chosen once
        gains[candidate] = 0;
    }

    private void weigh(FloatVector product, FloatVector length, int at) {
        FloatVector gain = product.mul(product).div(length);
        FloatVector.zero(FLOATS)
                .blend(gain, length.compare(GT, FloatVector.fromArray(FLOATS, floors, at)))
                .intoArray(gains, at);
    }

    /** Coefficients of the chosen atoms from their coordinates, by back substitution. */
    private void solve(int found) {
        System.arraycopy(along, 0, rest, 0, found);
        for (int i = found - 1; i >= 0; i--) {
            coefficients[i] = rest[i] / diagonal[i];
            explain(i, coefficients[i]);
        }
        if (form.scaled() && found > 0) {
            round(found);
        }
    }

    /** Takes off what the i-th chosen atom explains along those chosen before it. */
    private void explain(int i, float coefficient) {
        for (int at = 0; at < i; at += LANES) {
            FloatVector.fromArray(FLOATS, triangle, i * stride + at)
                    .fma(FloatVector.broadcast(FLOATS, coefficient), FloatVector.fromArray(FLOATS, rest, at))
                    .intoArray(rest, at);
        }
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
        System.arraycopy(along, 0, rest, 0, found);
        for (int i = found - 1; i >= 0; i--) {
            float exact = i == largest ? coefficients[i] : rest[i] / diagonal[i];
            coefficients[i] = Coefficients.value(Coefficients.level(exact, step, zero, most), step, zero);
            explain(i, coefficients[i]);
        }
    }
}
