package io.sparrowkv.encode;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Codes of a batch of vectors as an encoder writes them, off-heap and reusable.
 *
 * <p>Row r holds {@code budget} pairs, largest coefficient first, at {@code [r * budget, (r + 1) * budget)} of both arrays; the
 * pairs from {@link #count} on are padding: index 0, coefficient 0.
 */
public final class CodeBatch implements AutoCloseable {
    private final Arena arena;
    private final int capacityRows;
    private final int capacityBudget;
    private final MemorySegment indices;
    private final MemorySegment coefficients;
    private final MemorySegment counts;
    private int rows;
    private int budget;

    private CodeBatch(int capacityRows, int capacityBudget) {
        this.capacityRows = capacityRows;
        this.capacityBudget = capacityBudget;
        this.arena = Arena.ofShared();
        long pairs = Math.max(1, (long) capacityRows * capacityBudget);
        this.indices = arena.allocate(pairs * Integer.BYTES, 64);
        this.coefficients = arena.allocate(pairs * Float.BYTES, 64);
        this.counts = arena.allocate(Math.max(1, (long) capacityRows) * Integer.BYTES, 64);
    }

    /** Allocates room for {@code rows} codes of up to {@code budget} pairs. */
    public static CodeBatch allocate(int rows, int budget) {
        if (rows < 0 || budget < 1) {
            throw new IllegalArgumentException("rows " + rows + ", budget " + budget);
        }
        return new CodeBatch(rows, budget);
    }

    /**
     * Sets the shape that the next writer fills.
     *
     * @throws IllegalArgumentException when the shape does not fit in the allocated room
     */
    public void shape(int rows, int budget) {
        if (rows < 0 || budget < 1 || !fits(rows, budget)) {
            throw new IllegalArgumentException("%d rows of %d pairs do not fit in %d rows of %d"
                    .formatted(rows, budget, capacityRows, capacityBudget));
        }
        this.rows = rows;
        this.budget = budget;
    }

    /** Whether {@link #shape} takes this shape. */
    public boolean fits(int rows, int budget) {
        return rows <= capacityRows && budget <= capacityBudget;
    }

    public int rows() {
        return rows;
    }

    /** Pairs a row, the stride of both arrays. */
    public int budget() {
        return budget;
    }

    /** Atom indices, int32 {@code [rows, budget]}. */
    public MemorySegment indices() {
        return indices;
    }

    /** Coefficients, fp32 {@code [rows, budget]}; negative ones only in refined codes. */
    public MemorySegment coefficients() {
        return coefficients;
    }

    /** Pairs that are no padding, int32 {@code [rows]}. */
    public MemorySegment counts() {
        return counts;
    }

    public int index(int row, int pair) {
        return indices.getAtIndex(ValueLayout.JAVA_INT, (long) row * budget + pair);
    }

    public float coefficient(int row, int pair) {
        return coefficients.getAtIndex(ValueLayout.JAVA_FLOAT, (long) row * budget + pair);
    }

    public int count(int row) {
        return counts.getAtIndex(ValueLayout.JAVA_INT, row);
    }

    /** Pairs of all rows that are no padding. */
    public long pairs() {
        long pairs = 0;
        for (int row = 0; row < rows; row++) {
            pairs += count(row);
        }
        return pairs;
    }

    @Override
    public void close() {
        arena.close();
    }
}
