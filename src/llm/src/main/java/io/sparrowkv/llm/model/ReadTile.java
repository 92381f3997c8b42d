package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A run of queries that attend together, and how they read the keys {@code [first, to)} that some of them see: {@code [farFrom, farAll)}
 * far, all of them; {@code [farAll, farTo)} far, the later of them alone; the others near.
 *
 * @param from first query
 * @param to one after the last query, and after the last key
 * @param hidden {@code [to - from, to - first]}: 0, or −∞ where a query does not see a key
 * @param far {@code [to - from, farTo - farAll]}: 1 where a query reads a key far, 0 where near; none when there is no such key
 */
record ReadTile(
        int from, int to, int first, int farFrom, int farAll, int farTo, NDArray hidden, Optional<NDArray> far) {
    /**
     * All tiles of a context.
     *
     * @param manager owns the masks
     * @param slidingWindow tokens that a query sees, 0 for all
     * @param rows queries of a tile
     */
    static List<ReadTile> ofContext(NDManager manager, int tokens, int slidingWindow, FarReads reads, int rows) {
        List<ReadTile> tiles = new ArrayList<>();
        for (int from = 0; from < tokens; from += rows) {
            tiles.add(of(manager, from, Math.min(tokens, from + rows), slidingWindow, reads));
        }
        return tiles;
    }

    private static ReadTile of(NDManager manager, int from, int to, int slidingWindow, FarReads reads) {
        int first = firstSeen(from, slidingWindow);
        int farFrom = Math.clamp(reads.sinks(), first, to);
        int farTo = Math.clamp(reads.end(to - 1), farFrom, to);
        int farAll = Math.clamp(reads.end(from), farFrom, farTo);
        int rows = to - from;
        float[] hidden = new float[rows * (to - first)];
        float[] far = new float[rows * (farTo - farAll)];
        for (int row = 0; row < rows; row++) {
            int query = from + row;
            for (int key = first; key < to; key++) {
                boolean seen = key <= query && key >= firstSeen(query, slidingWindow);
                hidden[row * (to - first) + key - first] = seen ? 0 : Float.NEGATIVE_INFINITY;
            }
            for (int key = farAll; key < farTo; key++) {
                far[row * (farTo - farAll) + key - farAll] = key < reads.end(query) ? 1 : 0;
            }
        }
        return new ReadTile(
                from,
                to,
                first,
                farFrom,
                farAll,
                farTo,
                manager.create(hidden, new Shape(rows, to - first)),
                far.length == 0 ? Optional.empty() : Optional.of(manager.create(far, new Shape(rows, farTo - farAll))));
    }

    private static int firstSeen(int query, int slidingWindow) {
        return slidingWindow == 0 ? 0 : Math.max(0, query - slidingWindow + 1);
    }

    int rows() {
        return to - from;
    }

    int keys() {
        return to - first;
    }

    boolean readsFar() {
        return farTo > farFrom;
    }
}
