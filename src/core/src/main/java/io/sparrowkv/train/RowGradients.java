package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.sparrowkv.encode.CodeBatch;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import jdk.incubator.vector.FloatVector;

/**
 * The half of the backward pass that goes row by row, a task of rows and a slice of columns at a time: decodes each code at each
 * budget and gives the loss, its gradient in the reconstruction, and from that its gradient in each kept coefficient.
 *
 * <p>The loss of a batch is {@code scale · Σ_rows Σ_k w_k |x − x̂_k|²}, where x̂_k reads the first k pairs. A pair is part of x̂_k for
 * every budget k beyond its place, so the pairs fall into groups, one for each budget, and all of a group feel the same gradient
 * G_g = −2 · scale · Σ_{h ≥ g} w_h (x − x̂_h). With that ∂L/∂z = ⟨G_g, d⟩, and the atom's share is z · G_g.
 */
final class RowGradients {
    /** Rows of one task. */
    private static final int TASK_ROWS = 64;

    private final int rows;
    private final int slices;
    private final int[] budgets;
    private final float[] weights;
    private final byte[] groupOfPair;
    private final SlicedRows gradients;
    private final MemorySegment coefficientGradients;
    private final MemorySegment sums;
    private final float[] errors;

    /**
     * @param rows most rows of a batch
     * @param budgets ascending; the last is the pairs of a code
     * @param weights of each budget's squared error
     */
    RowGradients(Arena arena, int rows, int dHead, List<Integer> budgets, List<Float> weights) {
        this.rows = rows;
        this.slices = SlicedRows.slices(dHead);
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
        this.gradients = new SlicedRows(arena, Math.multiplyExact(rows, groups()), dHead);
        this.coefficientGradients = arena.allocate((long) slices * rows * pairs * Float.BYTES, 64);
        int tasks = tasks(rows);
        this.sums = arena.allocate((long) tasks * slices * SlicedRows.WIDTH * Float.BYTES, 64);
        this.errors = new float[tasks * slices * groups() * Lanes.LENGTH];
    }

    /** Tasks of a batch, for each slice. */
    static int tasks(int rows) {
        return Math.ceilDiv(rows, TASK_ROWS);
    }

    /** First row of a task. */
    static int firstRow(int task) {
        return task * TASK_ROWS;
    }

    /** End, exclusive, of a task's rows. */
    static int endRow(int task, int rows) {
        return Math.min(rows, (task + 1) * TASK_ROWS);
    }

    int groups() {
        return budgets.length;
    }

    /** Most pairs of a code. */
    int budget() {
        return groupOfPair.length;
    }

    /** The group that a pair belongs to by its place in the code. */
    int groupOf(int pair) {
        return groupOfPair[pair];
    }

    /** G: group g of a row is {@code row * groups() + g} of these. */
    SlicedRows gradients() {
        return gradients;
    }

    /** ∂L/∂z of a pair, {@code row * budget() + pair}. */
    float coefficientGradient(int pair) {
        float sum = 0;
        for (int slice = 0; slice < slices; slice++) {
            sum += coefficientGradients.getAtIndex(JAVA_FLOAT, firstCoefficient(slice) + pair);
        }
        return sum;
    }

    /** Σ |x − x̂_k|² over the rows of a batch at the budget of a group. */
    double squaredError(int rows, int group) {
        double sum = 0;
        for (int part = 0; part < tasks(rows) * slices; part++) {
            for (int lane = 0; lane < Lanes.LENGTH; lane++) {
                sum += errors[(part * groups() + group) * Lanes.LENGTH + lane];
            }
        }
        return sum;
    }

    /** Adds Σ G_0 over the rows of a batch to {@code [dHead]} floats: every budget's gradient in what all reconstructions share. */
    void addSums(int rows, MemorySegment to, int dHead) {
        for (int task = 0; task < tasks(rows); task++) {
            Lanes.addScaled(to, 0, 1, sums, (long) task * slices * SlicedRows.WIDTH, dHead);
        }
    }

    /**
     * Does one slice of one task.
     *
     * @param targets of the batch's rows, less what all reconstructions share
     * @param rows of the batch
     * @param codes of the rows, shaped to the last budget
     * @param atoms of the whole dictionary
     * @param scale of the loss
     */
    void compute(int slice, int task, SlicedRows targets, int rows, CodeBatch codes, SlicedRows atoms, float scale) {
        int part = task * slices + slice;
        sums.asSlice((long) part * SlicedRows.WIDTH * Float.BYTES, (long) SlicedRows.WIDTH * Float.BYTES)
                .fill((byte) 0);
        int firstError = part * groups() * Lanes.LENGTH;
        Arrays.fill(errors, firstError, firstError + groups() * Lanes.LENGTH, 0f);
        for (int row = firstRow(task); row < endRow(task, rows); row++) {
            residuals(slice, row, targets, codes, atoms);
            accumulate(slice, row, part, scale);
            coefficientGradients(slice, row, codes, atoms);
        }
    }

    /** Stores x − x̂_k of each budget where G will be. */
    private void residuals(int slice, int row, SlicedRows targets, CodeBatch codes, SlicedRows atoms) {
        MemorySegment decoder = atoms.floats();
        long firstAtom = atoms.at(slice, 0);
        MemorySegment indices = codes.indices();
        MemorySegment coefficients = codes.coefficients();
        long firstPair = (long) row * codes.budget();
        int count = codes.count(row);
        long target = targets.at(slice, row);
        FloatVector r0 = Lanes.load(targets.floats(), target);
        FloatVector r1 = Lanes.load(targets.floats(), target + Lanes.LENGTH);
        int pair = 0;
        for (int g = 0; g < budgets.length; g++) {
            int end = Math.min(count, budgets[g]);
            for (; pair < end; pair++) {
                long atom = firstAtom + (long) indices.getAtIndex(JAVA_INT, firstPair + pair) * SlicedRows.WIDTH;
                FloatVector z =
                        FloatVector.broadcast(Lanes.SPECIES, -coefficients.getAtIndex(JAVA_FLOAT, firstPair + pair));
                r0 = z.fma(Lanes.load(decoder, atom), r0);
                r1 = z.fma(Lanes.load(decoder, atom + Lanes.LENGTH), r1);
            }
            long to = gradients.at(slice, row * budgets.length + g);
            Lanes.store(r0, gradients.floats(), to);
            Lanes.store(r1, gradients.floats(), to + Lanes.LENGTH);
        }
    }

    /** Adds up the residuals' squares, lane by lane, and turns the residuals, last group first, into G. */
    private void accumulate(int slice, int row, int part, float scale) {
        MemorySegment floats = gradients.floats();
        FloatVector sum0 = Lanes.zero();
        FloatVector sum1 = Lanes.zero();
        for (int g = budgets.length - 1; g >= 0; g--) {
            long at = gradients.at(slice, row * budgets.length + g);
            FloatVector r0 = Lanes.load(floats, at);
            FloatVector r1 = Lanes.load(floats, at + Lanes.LENGTH);
            int error = (part * budgets.length + g) * Lanes.LENGTH;
            FloatVector squares = FloatVector.fromArray(Lanes.SPECIES, errors, error);
            r1.fma(r1, r0.fma(r0, squares)).intoArray(errors, error);
            FloatVector weight = FloatVector.broadcast(Lanes.SPECIES, -2 * scale * weights[g]);
            sum0 = r0.fma(weight, sum0);
            sum1 = r1.fma(weight, sum1);
            Lanes.store(sum0, floats, at);
            Lanes.store(sum1, floats, at + Lanes.LENGTH);
        }
        long total = (long) part * SlicedRows.WIDTH;
        Lanes.store(Lanes.load(sums, total).add(sum0), sums, total);
        Lanes.store(Lanes.load(sums, total + Lanes.LENGTH).add(sum1), sums, total + Lanes.LENGTH);
    }

    /** ⟨G_g, d⟩ of this slice's columns for each pair. */
    private void coefficientGradients(int slice, int row, CodeBatch codes, SlicedRows atoms) {
        MemorySegment decoder = atoms.floats();
        long firstAtom = atoms.at(slice, 0);
        MemorySegment indices = codes.indices();
        long firstPair = (long) row * codes.budget();
        long to = firstCoefficient(slice) + firstPair;
        int count = codes.count(row);
        int pair = 0;
        for (int g = 0; g < budgets.length; g++) {
            long at = gradients.at(slice, row * budgets.length + g);
            FloatVector g0 = Lanes.load(gradients.floats(), at);
            FloatVector g1 = Lanes.load(gradients.floats(), at + Lanes.LENGTH);
            int end = Math.min(count, budgets[g]);
            for (; pair < end; pair++) {
                long atom = firstAtom + (long) indices.getAtIndex(JAVA_INT, firstPair + pair) * SlicedRows.WIDTH;
                FloatVector products =
                        g1.fma(Lanes.load(decoder, atom + Lanes.LENGTH), g0.mul(Lanes.load(decoder, atom)));
                coefficientGradients.setAtIndex(JAVA_FLOAT, to + pair, Lanes.sum(products));
            }
        }
    }

    private long firstCoefficient(int slice) {
        return (long) slice * rows * budget();
    }
}
