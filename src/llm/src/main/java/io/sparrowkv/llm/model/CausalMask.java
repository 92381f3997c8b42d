package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import java.util.Optional;

/**
 * What a tile's queries may not see: keys after their own and, with a sliding window, keys that have left it. The last query of a tile
 * is at the last key. All layers of a chunk share a mask, so one is kept for the next tile.
 *
 * @param rows queries of a tile
 * @param columns the last columns of the scores, those that hold a masked key
 * @param firstVisible column of the first key that the first query sees; below 0 when the window cuts nothing
 * @param added {@code [rows, columns]}, 0 or −∞; none when every query sees every key
 */
record CausalMask(int rows, int columns, int firstVisible, Optional<NDArray> added) {
    static final CausalMask NONE = new CausalMask(1, 1, 0, Optional.empty());

    /**
     * This mask if it fits the tile, or else another; what it replaces is closed.
     *
     * @param keys columns of the scores
     * @param window tokens a query sees, 0 for all
     */
    CausalMask forTile(NDManager manager, int rows, int keys, int window) {
        if (rows == 1) {
            return this;
        }
        int first = window == 0 ? -1 : keys - rows + 1 - window;
        boolean cut = window > 0 && first + rows - 1 > 0;
        int columns = cut ? keys : rows;
        int firstVisible = cut ? first : -rows;
        if (added.isPresent() && rows == this.rows && columns == this.columns && firstVisible == this.firstVisible) {
            return this;
        }
        added.ifPresent(NDArray::close);
        float[] values = new float[rows * columns];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                boolean visible = column <= columns - rows + row && column >= firstVisible + row;
                values[row * columns + column] = visible ? 0 : Float.NEGATIVE_INFINITY;
            }
        }
        return new CausalMask(
                rows, columns, firstVisible, Optional.of(manager.create(values, new Shape(rows, columns))));
    }

    /** Masks {@code scores [heads, rows, keys]} in place. */
    void apply(NDArray scores) {
        long keys = scores.getShape().get(2);
        if (scores.getShape().get(1) > 1 && added.isPresent()) {
            NDArray masked = columns == keys ? scores : scores.get(new NDIndex(":, :, {}:{}", keys - columns, keys));
            masked.addi(added.get());
        }
    }
}
