package io.sparrowkv.train;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.VectorMask;

/**
 * Rows of floats cut into slices of columns, each slice's rows close together: a backward pass picks rows at random, and going through
 * them slice by slice it picks from 512 KiB of atoms and 1 MiB of gradients at a time (4096 atoms, 2048 vectors, four budgets), not
 * from four times that. Rows are filled up with zeros to whole slices, so that their readers need no masks.
 */
final class SlicedRows {
    /** Vectors of a row in a slice: 128 bytes, two cache lines, at 512 bits. */
    static final int VECTORS = 2;

    /** Floats of a row in a slice. */
    static final int WIDTH = VECTORS * Lanes.LENGTH;

    private final int dHead;
    private final int rows;
    private final MemorySegment floats;

    SlicedRows(Arena arena, int rows, int dHead) {
        this.dHead = dHead;
        this.rows = rows;
        this.floats = arena.allocate((long) slices(dHead) * rows * WIDTH * Float.BYTES, 64);
    }

    /** Slices of a row. */
    static int slices(int dHead) {
        return Math.ceilDiv(dHead, WIDTH);
    }

    /** All slices, {@code [slices, rows, WIDTH]}. */
    MemorySegment floats() {
        return floats;
    }

    /** Where a row's part of a slice begins in {@link #floats}. */
    long at(int slice, int row) {
        return ((long) slice * rows + row) * WIDTH;
    }

    /** Writes a row, {@code [dHead]} floats at {@code fromIndex}. */
    void put(int row, MemorySegment from, long fromIndex) {
        int column = 0;
        for (; column + Lanes.LENGTH <= dHead; column += Lanes.LENGTH) {
            Lanes.store(Lanes.load(from, fromIndex + column), floats, columnAt(row, column));
        }
        if (column < dHead) {
            VectorMask<Float> mask = Lanes.within(column, dHead);
            Lanes.store(Lanes.load(from, fromIndex + column, mask), floats, columnAt(row, column), mask);
        }
    }

    private long columnAt(int row, int column) {
        return at(column / WIDTH, row) + column % WIDTH;
    }

    /** Writes one slice of {@code from − centre}. */
    void putCentred(int slice, int row, MemorySegment from, long fromIndex, MemorySegment centre) {
        for (int i = 0; i < WIDTH; i += Lanes.LENGTH) {
            int column = slice * WIDTH + i;
            VectorMask<Float> mask = Lanes.within(column, dHead);
            Lanes.store(
                    Lanes.load(from, fromIndex + column, mask).sub(Lanes.load(centre, column, mask)),
                    floats,
                    at(slice, row) + i);
        }
    }
}
