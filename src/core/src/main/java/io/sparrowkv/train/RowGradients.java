package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.sparrowkv.encode.CodeBatch;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * The half of the backward pass that goes row by row: decodes each code at each budget and gives the loss, its gradient in the
 * reconstruction, and from that its gradient in each kept coefficient.
 *
 * <p>The loss of a batch is {@code scale · Σ_rows Σ_k w_k |x − x̂_k|²}, where x̂_k reads the first k pairs. A pair is part of x̂_k for
 * every budget k beyond its place, so the pairs fall into groups, one for each budget, and all of a group feel the same gradient
 * G_g = −2 · scale · Σ_{h ≥ g} w_h (x − x̂_h). With that ∂L/∂z = ⟨G_g, d⟩, and the atom's share is z · G_g.
 */
final class RowGradients {
    private final int dHead;
    private final int[] budgets;
    private final float[] weights;
    private final byte[] groupOfPair;
    private final MemorySegment gradients;
    private final MemorySegment coefficientGradients;
    private final MemorySegment errors;

    /**
     * @param rows most rows of a batch
     * @param budgets ascending; the last is the pairs of a code
     * @param weights of each budget's squared error
     */
    RowGradients(Arena arena, int rows, int dHead, List<Integer> budgets, List<Float> weights) {
        this.dHead = dHead;
        this.budgets = budgets.stream().mapToInt(Integer::intValue).toArray();
        this.weights = new float[budgets.size()];
        for (int g = 0; g < budgets.size(); g++) {
            this.weights[g] = weights.get(g);
        }
        int pairs = this.budgets[groups() - 1];
        this.groupOfPair = new byte[pairs];
        for (int pair = 0, group = 0; pair < pairs; pair++) {
            group += pair == this.budgets[group] ? 1 : 0;
            groupOfPair[pair] = (byte) group;
        }
        this.gradients = arena.allocate((long) rows * groups() * dHead * Float.BYTES, 64);
        this.coefficientGradients = arena.allocate((long) rows * pairs * Float.BYTES, 64);
        this.errors = arena.allocate((long) rows * groups() * Float.BYTES, 64);
    }

    int groups() {
        return budgets.length;
    }

    /** Floats of scratch that {@link #compute} needs. */
    int scratch() {
        return groups() * Lanes.LENGTH;
    }

    /** The group that a pair belongs to by its place in the code. */
    int groupOf(int pair) {
        return groupOfPair[pair];
    }

    /** G, {@code [rows, groups, dHead]}. */
    MemorySegment gradients() {
        return gradients;
    }

    /** ∂L/∂z of each pair, {@code [rows, budget]}. */
    MemorySegment coefficientGradients() {
        return coefficientGradients;
    }

    /** |x − x̂_k|² of a row at the budget of a group. */
    float error(int row, int group) {
        return errors.getAtIndex(JAVA_FLOAT, (long) row * groups() + group);
    }

    /**
     * Does one row.
     *
     * @param targets {@code [rows, dHead]}
     * @param codes of the rows, shaped to the last budget
     * @param atoms {@code [latents, dHead]}
     * @param bias {@code [dHead]}, part of every reconstruction
     * @param scale of the loss
     * @param scratch {@link #scratch()} floats of this worker's own
     */
    void compute(
            int row,
            MemorySegment targets,
            CodeBatch codes,
            MemorySegment atoms,
            MemorySegment bias,
            float scale,
            float[] scratch) {
        int count = codes.count(row);
        long firstPair = (long) row * codes.budget();
        long firstGradient = (long) row * groups() * dHead;
        Arrays.fill(scratch, 0f);
        int column = 0;
        for (; column + 4 * Lanes.LENGTH <= dHead; column += 4 * Lanes.LENGTH) {
            residuals4(row, column, count, firstPair, firstGradient, targets, codes, atoms, bias);
            for (int i = 0; i < 4; i++) {
                accumulate(column + i * Lanes.LENGTH, firstGradient, scale, scratch);
            }
        }
        for (; column < dHead; column += Lanes.LENGTH) {
            residuals1(row, column, count, firstPair, firstGradient, targets, codes, atoms, bias);
            accumulate(column, firstGradient, scale, scratch);
        }
        for (int g = 0; g < groups(); g++) {
            FloatVector square = FloatVector.fromArray(Lanes.SPECIES, scratch, g * Lanes.LENGTH);
            errors.setAtIndex(JAVA_FLOAT, (long) row * groups() + g, Lanes.sum(square));
        }
        for (int pair = 0; pair < count; pair++) {
            long atom = codes.indices().getAtIndex(JAVA_INT, firstPair + pair);
            float gradient =
                    Lanes.dot(gradients, firstGradient + (long) groupOfPair[pair] * dHead, atoms, atom * dHead, dHead);
            coefficientGradients.setAtIndex(JAVA_FLOAT, firstPair + pair, gradient);
        }
    }

    /** Stores x − x̂_k of each budget for four vectors of columns: the sums stay in registers over all pairs. */
    private void residuals4(
            int row,
            int column,
            int count,
            long firstPair,
            long firstGradient,
            MemorySegment targets,
            CodeBatch codes,
            MemorySegment atoms,
            MemorySegment bias) {
        long at = (long) row * dHead + column;
        FloatVector r0 = Lanes.load(targets, at).sub(Lanes.load(bias, column));
        FloatVector r1 = Lanes.load(targets, at + Lanes.LENGTH).sub(Lanes.load(bias, column + Lanes.LENGTH));
        FloatVector r2 = Lanes.load(targets, at + 2 * Lanes.LENGTH).sub(Lanes.load(bias, column + 2 * Lanes.LENGTH));
        FloatVector r3 = Lanes.load(targets, at + 3 * Lanes.LENGTH).sub(Lanes.load(bias, column + 3 * Lanes.LENGTH));
        MemorySegment indices = codes.indices();
        MemorySegment coefficients = codes.coefficients();
        int pair = 0;
        for (int g = 0; g < budgets.length; g++) {
            int end = Math.min(count, budgets[g]);
            for (; pair < end; pair++) {
                long atom = (long) indices.getAtIndex(JAVA_INT, firstPair + pair) * dHead + column;
                FloatVector z =
                        FloatVector.broadcast(Lanes.SPECIES, -coefficients.getAtIndex(JAVA_FLOAT, firstPair + pair));
                r0 = z.fma(Lanes.load(atoms, atom), r0);
                r1 = z.fma(Lanes.load(atoms, atom + Lanes.LENGTH), r1);
                r2 = z.fma(Lanes.load(atoms, atom + 2 * Lanes.LENGTH), r2);
                r3 = z.fma(Lanes.load(atoms, atom + 3 * Lanes.LENGTH), r3);
            }
            long to = firstGradient + (long) g * dHead + column;
            Lanes.store(r0, gradients, to);
            Lanes.store(r1, gradients, to + Lanes.LENGTH);
            Lanes.store(r2, gradients, to + 2 * Lanes.LENGTH);
            Lanes.store(r3, gradients, to + 3 * Lanes.LENGTH);
        }
    }

    /** The same for one vector of columns, which may end in the middle. */
    private void residuals1(
            int row,
            int column,
            int count,
            long firstPair,
            long firstGradient,
            MemorySegment targets,
            CodeBatch codes,
            MemorySegment atoms,
            MemorySegment bias) {
        VectorMask<Float> mask = Lanes.within(column, dHead);
        FloatVector residual =
                Lanes.load(targets, (long) row * dHead + column, mask).sub(Lanes.load(bias, column, mask));
        int pair = 0;
        for (int g = 0; g < budgets.length; g++) {
            int end = Math.min(count, budgets[g]);
            for (; pair < end; pair++) {
                long atom = (long) codes.indices().getAtIndex(JAVA_INT, firstPair + pair) * dHead + column;
                FloatVector z = FloatVector.broadcast(
                        Lanes.SPECIES, -codes.coefficients().getAtIndex(JAVA_FLOAT, firstPair + pair));
                residual = z.fma(Lanes.load(atoms, atom, mask), residual);
            }
            Lanes.store(residual, gradients, firstGradient + (long) g * dHead + column, mask);
        }
    }

    /** Adds up the residuals' squares, lane by lane, and turns the residuals, last group first, into G. */
    private void accumulate(int column, long firstGradient, float scale, float[] squares) {
        VectorMask<Float> mask = Lanes.within(column, dHead);
        FloatVector sum = Lanes.zero();
        for (int g = groups() - 1; g >= 0; g--) {
            long at = firstGradient + (long) g * dHead + column;
            FloatVector residual = Lanes.load(gradients, at, mask);
            FloatVector square = FloatVector.fromArray(Lanes.SPECIES, squares, g * Lanes.LENGTH);
            residual.fma(residual, square).intoArray(squares, g * Lanes.LENGTH);
            sum = residual.fma(FloatVector.broadcast(Lanes.SPECIES, -2 * scale * weights[g]), sum);
            Lanes.store(sum, gradients, at, mask);
        }
    }
}
