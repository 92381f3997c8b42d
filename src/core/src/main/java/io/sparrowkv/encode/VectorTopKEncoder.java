package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import jdk.incubator.vector.FloatVector;

/**
 * Encodes on all cores through the Vector API. The batch is cut into blocks of rows; a worker takes a block, centres it, multiplies
 * it panel by panel with the packed weights, so that a panel is read from the first-level cache, and selects each row's code from
 * the pre-activations while they are still in the second. Codes do not depend on the number of threads.
 */
final class VectorTopKEncoder implements TopKEncoder {
    /** Rows of a block: enough to read each panel often, few enough for their pre-activations to stay in the second-level cache. */
    private static final int BLOCK_ROWS = 66;

    private static final int LANES = FloatVector.SPECIES_PREFERRED.length();
    private static final int EXPONENT = 0x7f80_0000;
    private static final int NO_ROW = Integer.MAX_VALUE;

    private final Dictionary dictionary;
    private final Workers workers;
    private final EncodeScratch[] scratch;
    private final ProductTile tile;
    private final PackedWeights weights;
    private final float[] decoderBias;
    private final int columns;
    private final AtomicInteger firstBadRow = new AtomicInteger();
    private final Workers.Task packPanel = this::packPanel;
    private final Workers.Task encodeBlock = this::encodeBlock;

    // The call in progress; the workers see these through the start of the job.
    private MemorySegment vectors = MemorySegment.NULL;
    private CodeBatch codes;
    private int rows;
    private int blocks;
    private boolean ordered;

    VectorTopKEncoder(Dictionary dictionary, Workers workers, EncodeScratch[] scratch, ProductTile tile) {
        this.dictionary = dictionary;
        this.workers = workers;
        this.scratch = scratch;
        this.tile = tile;
        this.columns = tile.vectors() * LANES;
        this.weights = new PackedWeights(dictionary, columns);
        this.decoderBias = new float[dictionary.dHead()];
        reload();
    }

    @Override
    public Dictionary dictionary() {
        return dictionary;
    }

    @Override
    public void encode(MemorySegment vectors, int rows, int budget, CodeBatch codes) {
        encode(vectors, rows, budget, codes, true);
    }

    @Override
    public void encodeUnordered(MemorySegment vectors, int rows, int budget, CodeBatch codes) {
        encode(vectors, rows, budget, codes, false);
    }

    private void encode(MemorySegment vectors, int rows, int budget, CodeBatch codes, boolean ordered) {
        TopKEncoder.requireFit(dictionary, vectors, rows, budget);
        codes.shape(rows, budget);
        int tiles = Math.ceilDiv(rows, tile.rows());
        int fewest = Math.ceilDiv(tiles, BLOCK_ROWS / tile.rows());
        this.vectors = vectors;
        this.codes = codes;
        this.rows = rows;
        this.ordered = ordered;
        this.blocks = Math.min(tiles, Math.ceilDiv(fewest, workers.threads()) * workers.threads());
        firstBadRow.set(NO_ROW);
        try {
            workers.forEach(blocks, encodeBlock);
        } finally {
            this.vectors = MemorySegment.NULL;
            this.codes = null;
        }
        if (firstBadRow.get() != NO_ROW) {
            throw new NonFiniteVectorException(dictionary.site(), firstBadRow.get());
        }
    }

    @Override
    public void reload() {
        MemorySegment.copy(dictionary.decoderBias(), JAVA_FLOAT, 0, decoderBias, 0, decoderBias.length);
        workers.forEach(weights.panels(), packPanel);
    }

    @Override
    public void close() {
        // The threads and the scratch memory are the backend's, the packed weights are the collector's.
    }

    private void packPanel(int panel, int worker) {
        scratch[worker].fitWeights(weights.scratch());
        weights.pack(panel, scratch[worker].weights);
    }

    private void encodeBlock(int block, int worker) {
        int tiles = Math.ceilDiv(rows, tile.rows());
        int firstTile = (int) ((long) tiles * block / blocks);
        int blockTiles = (int) ((long) tiles * (block + 1) / blocks) - firstTile;
        int firstRow = firstTile * tile.rows();
        int blockRows = Math.min(blockTiles * tile.rows(), rows - firstRow);
        EncodeScratch mine = scratch[worker];
        mine.fit(blockTiles * tile.rows(), dictionary.dHead(), weights.panels() * columns, weights.panels() * LANES);
        int badRow = centre(firstRow, blockRows, blockTiles, mine.centred);
        if (badRow != NO_ROW) {
            firstBadRow.accumulateAndGet(badRow, Math::min);
            return;
        }
        multiply(blockTiles, mine);
        select(firstRow, blockRows, mine);
    }

    /**
     * Writes x − b_dec, {@code [tiles, dHead, tileRows]}, rows past the last one as zeros.
     *
     * @return the first row of the batch that holds NaN or infinity, or {@link #NO_ROW}
     */
    private int centre(int firstRow, int blockRows, int blockTiles, float[] centred) {
        int dHead = dictionary.dHead();
        int tileRows = tile.rows();
        Arrays.fill(centred, (blockTiles - 1) * tileRows * dHead, blockTiles * tileRows * dHead, 0f);
        for (int row = 0; row < blockRows; row++) {
            long from = (long) (firstRow + row) * dHead;
            int to = row / tileRows * tileRows * dHead + row % tileRows;
            int nonFinite = 0;
            for (int i = 0; i < dHead; i++) {
                float x = vectors.getAtIndex(JAVA_FLOAT, from + i);
                nonFinite |= (Float.floatToRawIntBits(x) & EXPONENT) == EXPONENT ? 1 : 0;
                centred[to + i * tileRows] = x - decoderBias[i];
            }
            if (nonFinite != 0) {
                return firstRow + row;
            }
        }
        return NO_ROW;
    }

    private void multiply(int blockTiles, EncodeScratch mine) {
        int dHead = dictionary.dHead();
        int tileRows = tile.rows();
        int panels = weights.panels();
        float[] packed = weights.packed();
        for (int panel = 0; panel < panels; panel++) {
            for (int t = 0; t < blockTiles; t++) {
                int zAt = (t * panels + panel) * tileRows * columns;
                tile.multiply(
                        mine.centred, t * tileRows * dHead, packed, weights.at(panel), dHead, mine.preActivations, zAt);
                for (int row = 0; row < tileRows; row++) {
                    mine.selection.group(
                            mine.preActivations,
                            zAt + row * columns,
                            tile.vectors(),
                            mine.maxima,
                            ((t * tileRows + row) * panels + panel) * LANES);
                }
            }
        }
    }

    private void select(int firstRow, int blockRows, EncodeScratch mine) {
        int tileRows = tile.rows();
        int panels = weights.panels();
        for (int row = 0; row < blockRows; row++) {
            int inTile = row % tileRows;
            mine.selection.select(
                    mine.preActivations,
                    (row - inTile) * panels * columns + inTile * columns,
                    tileRows * columns,
                    tile.vectors(),
                    mine.maxima,
                    row * panels * LANES,
                    panels,
                    codes,
                    firstRow + row,
                    ordered);
        }
    }
}
