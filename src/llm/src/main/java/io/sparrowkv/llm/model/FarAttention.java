package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.index.NDIndex;
import io.sparrowkv.attention.AttentionShape;
import java.util.List;

/**
 * Attention whose far reads see deviating keys and values, in operators that libtorch can differentiate. Tile by tile, so that the
 * half of the scores that nobody sees is mostly not computed, and only where a tile's queries disagree is a key read both ways.
 *
 * @param shape of the model
 * @param tiles of the context, {@link ReadTile#ofContext}
 */
record FarAttention(AttentionShape shape, List<ReadTile> tiles) {
    /**
     * Vectors as attention reads them.
     *
     * @param near {@code [kvHeads, tokens, dHead]}
     * @param deviation what far reads see more
     */
    record Read(NDArray near, NDArray deviation) {
        /** @param vectors {@code [tokens, kvHeads, dHead]}, as {@code deviation} */
        static Read of(NDArray vectors, NDArray deviation) {
            return new Read(vectors.transpose(1, 0, 2), deviation.transpose(1, 0, 2));
        }

        /** The tile's keys, or their values; those that it reads both ways are as near reads see them. */
        NDArray seen(ReadTile tile) {
            NDList parts = new NDList();
            add(parts, near, tile.first(), tile.farFrom());
            if (tile.farAll() > tile.farFrom()) {
                NDIndex far = rows(tile.farFrom(), tile.farAll());
                parts.add(near.get(far).add(deviation.get(far)));
            }
            add(parts, near, tile.farAll(), tile.to());
            return concat(parts, 1);
        }

        /** Deviations of those that it reads both ways. */
        NDArray disputed(ReadTile tile) {
            return deviation.get(rows(tile.farAll(), tile.farTo()));
        }

        private static void add(NDList parts, NDArray vectors, int from, int to) {
            if (to > from) {
                parts.add(vectors.get(rows(from, to)));
            }
        }

        private static NDIndex rows(int from, int to) {
            return new NDIndex().addAllDim().addSliceDim(from, to);
        }
    }

    boolean readsFar() {
        return tiles.stream().anyMatch(ReadTile::readsFar);
    }

    /**
     * @param queries {@code [tokens, heads, dHead]}
     * @return {@code [tokens, heads * dHead]}
     */
    NDArray attend(NDArray queries, Read keys, Read values) {
        long tokens = queries.getShape().get(0);
        NDArray grouped = queries.mul(shape.scale())
                .reshape(tokens, shape.kvHeads(), shape.group(), shape.dHead())
                .transpose(1, 2, 0, 3);
        NDList outputs = new NDList();
        for (ReadTile tile : tiles) {
            NDArray rows = grouped.get(new NDIndex().addAllDim().addAllDim().addSliceDim(tile.from(), tile.to()))
                    .reshape(shape.kvHeads(), (long) shape.group() * tile.rows(), shape.dHead());
            NDArray probabilities = probabilities(tile, rows, keys);
            outputs.add(mix(tile, probabilities, values)
                    .reshape(shape.kvHeads(), shape.group(), tile.rows(), shape.dHead())
                    .transpose(2, 0, 1, 3)
                    .reshape(tile.rows(), -1));
        }
        return concat(outputs, 0);
    }

    /** @return {@code [kvHeads, group, rows, keys]} */
    private NDArray probabilities(ReadTile tile, NDArray queries, Read keys) {
        NDArray scores = byQuery(tile, queries.matMul(keys.seen(tile).transpose(0, 2, 1)));
        if (tile.far().isPresent()) {
            NDArray added = byQuery(tile, queries.matMul(keys.disputed(tile).transpose(0, 2, 1)))
                    .mul(tile.far().get());
            int from = tile.farAll() - tile.first();
            int to = tile.farTo() - tile.first();
            NDList parts = new NDList();
            if (from > 0) {
                parts.add(scores.get(columns(0, from)));
            }
            parts.add(scores.get(columns(from, to)).add(added));
            if (to < tile.keys()) {
                parts.add(scores.get(columns(to, tile.keys())));
            }
            scores = concat(parts, 3);
        }
        return scores.add(tile.hidden()).softmax(-1);
    }

    /** @return {@code [kvHeads, group * rows, dHead]} */
    private NDArray mix(ReadTile tile, NDArray probabilities, Read values) {
        NDArray mixed = byHead(tile, probabilities).matMul(values.seen(tile));
        if (tile.far().isEmpty()) {
            return mixed;
        }
        NDArray far = probabilities
                .get(columns(tile.farAll() - tile.first(), tile.farTo() - tile.first()))
                .mul(tile.far().get());
        return mixed.add(byHead(tile, far).matMul(values.disputed(tile)));
    }

    private NDArray byQuery(ReadTile tile, NDArray scores) {
        return scores.reshape(shape.kvHeads(), shape.group(), tile.rows(), -1);
    }

    private NDArray byHead(ReadTile tile, NDArray scores) {
        return scores.reshape(shape.kvHeads(), (long) shape.group() * tile.rows(), -1);
    }

    private static NDIndex columns(int from, int to) {
        return new NDIndex().addAllDim().addAllDim().addAllDim().addSliceDim(from, to);
    }

    private static NDArray concat(NDList parts, int axis) {
        return parts.size() == 1 ? parts.getFirst() : NDArrays.concat(parts, axis);
    }
}
