package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.encode.ProductTile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Attention of many queries, as in reading a prompt: up to {@value #STRIPES} stripes of queries of one KV head go through its keys and
 * values 64 tokens at a time. Codes are decoded once for all stripes; scores and sums are then register-tiled products of dense
 * matrices. Decoding a token costs K_key + K_value multiply-adds a dimension and each query two, so that from some dozens of queries on
 * the decoding hardly shows.
 *
 * <p>What is dense at a time is 64 tokens. All operands lie in arrays on the heap in the order in which {@link ProductTile} reads them.
 */
final class TileAttention {
    /** Stripes of a task: their queries and sums, 64 KiB each at dHead 128, stay in the second-level cache. */
    static final int STRIPES = 16;

    private static final int TOKENS = CodeBlockLayout.TOKENS;

    private final int dHead;
    private final ProductTile tile;
    private final int columns;
    private final BlockDecoder decoder;
    private final QueryPanel[] panels = new QueryPanel[STRIPES];
    /** By stripe, {@code [1 + dHead, columns]}, times the scale; the first row is 0, the tile's bias. */
    private final float[][] queries;
    /** By stripe, weighted sums of values, {@code [dHead, columns]}, rows filled up to whole tiles. */
    private final float[][] sums;
    /** {@code [1 + TOKENS, columns]}, rows filled up to whole tiles; the first row is 0, the tile's bias. */
    private final float[] scores;

    private final float[] product;
    private final float[] rows;
    private final float[] packedKeys;
    private final float[] packedValues;
    private final float[] vector;

    TileAttention(Arena arena, RotaryEmbedding rotary, int dHead, UnpackedCodes codes, ResidualRows residuals) {
        this.dHead = dHead;
        tile = ProductTile.preferred();
        columns = columns();
        decoder = new BlockDecoder(arena, rotary, dHead, codes, residuals);
        Arrays.setAll(panels, i -> new QueryPanel(columns));
        int paddedDims = Math.ceilDiv(dHead, tile.rows()) * tile.rows();
        int paddedTokens = Math.ceilDiv(TOKENS, tile.rows()) * tile.rows();
        queries = new float[STRIPES][(1 + dHead) * columns];
        sums = new float[STRIPES][paddedDims * columns];
        scores = new float[(1 + paddedTokens) * columns];
        product = new float[tile.rows() * columns];
        rows = new float[TOKENS * dHead];
        packedKeys = new float[paddedTokens * dHead];
        packedValues = new float[TOKENS * paddedDims];
        vector = new float[dHead];
    }

    /** Queries of a stripe. */
    static int columns() {
        return ProductTile.preferred().vectors() * Lanes.LANES;
    }

    /** Computes the outputs of stripes {@code first} to {@code first + count} of a KV head. */
    void run(AttentionCall call, int head, int first, int count) {
        int firstBlock = Integer.MAX_VALUE;
        int endBlock = 0;
        for (int s = 0; s < count; s++) {
            panels[s].begin(call, head, (first + s) * columns);
            packQueries(call, s);
            Arrays.fill(sums[s], 0f);
            firstBlock = Math.min(firstBlock, panels[s].firstBlock(call.sinks));
            endBlock = Math.max(endBlock, panels[s].endBlock(call.sinks));
        }
        attendDense(call, head, count);
        for (int block = firstBlock; block < endBlock; block++) {
            attendBlock(call, head, block, count);
        }
        for (int s = 0; s < count; s++) {
            finish(call, s);
        }
    }

    private void packQueries(AttentionCall call, int stripe) {
        QueryPanel panel = panels[stripe];
        float[] packed = queries[stripe];
        for (int column = 0; column < columns; column++) {
            int query = panel.query(column);
            MemorySegment.copy(
                    call.queries, JAVA_FLOAT_UNALIGNED, (long) query * dHead * Float.BYTES, vector, 0, dHead);
            for (int d = 0; d < dHead; d++) {
                packed[(1 + d) * columns + column] = vector[d] * call.shape.scale();
            }
        }
    }

    private void attendDense(AttentionCall call, int head, int stripes) {
        DenseRun sinks = call.sinkRun;
        for (int t = 0; t < sinks.tokens; t += TOKENS) {
            int count = Math.min(TOKENS, sinks.tokens - t);
            packDense(sinks, head, t, count);
            for (int s = 0; s < stripes; s++) {
                score(s, count);
                boolean rescale = panels[s].weighSinks(scores, columns, sinks.firstToken + t, count);
                sum(s, count, rescale);
            }
        }
        for (int i = 0; i < call.tailRunCount; i++) {
            DenseRun run = call.tailRuns[i];
            for (int t = 0; t < run.tokens; t += TOKENS) {
                int count = Math.min(TOKENS, run.tokens - t);
                int token = run.firstToken + t;
                packDense(run, head, t, count);
                for (int s = 0; s < stripes; s++) {
                    if (panels[s].readsTail(token, count)) {
                        score(s, count);
                        sum(s, count, panels[s].weighTail(scores, columns, token, count));
                    }
                }
            }
        }
    }

    private void attendBlock(AttentionCall call, int head, int block, int stripes) {
        int most = 0;
        for (int s = 0; s < stripes; s++) {
            most = Math.max(most, panels[s].tokensOfBlock(block, call.sinks));
        }
        MemorySegment.copy(decoder.keys(call, head, block, most), JAVA_FLOAT, 0, rows, 0, most * dHead);
        packKeys(most);
        MemorySegment.copy(decoder.values(call, head, block, most), JAVA_FLOAT, 0, rows, 0, most * dHead);
        packValues(most);
        int token = call.sinks + block * TOKENS;
        for (int s = 0; s < stripes; s++) {
            if (panels[s].tokensOfBlock(block, call.sinks) > 0 && panels[s].firstBlock(call.sinks) <= block) {
                score(s, most);
                sum(s, most, panels[s].weighCodes(scores, columns, token, most));
            }
        }
    }

    private void packDense(DenseRun run, int head, int token, int count) {
        for (int t = 0; t < count; t++) {
            MemorySegment.copy(run.keys, JAVA_FLOAT_UNALIGNED, run.at(head, token + t), rows, t * dHead, dHead);
        }
        packKeys(count);
        for (int t = 0; t < count; t++) {
            MemorySegment.copy(run.values, JAVA_FLOAT_UNALIGNED, run.at(head, token + t), rows, t * dHead, dHead);
        }
        packValues(count);
    }

    /** rows {@code [tokens, dHead]} to {@code [tokens / tileRows, dHead, tileRows]}. */
    private void packKeys(int tokens) {
        int tileRows = tile.rows();
        for (int t = 0; t < tokens; t++) {
            int to = t / tileRows * tileRows * dHead + t % tileRows;
            for (int d = 0; d < dHead; d++) {
                packedKeys[to + d * tileRows] = rows[t * dHead + d];
            }
        }
    }

    /** rows {@code [tokens, dHead]} to {@code [dHead / tileRows, tokens, tileRows]}. */
    private void packValues(int tokens) {
        int tileRows = tile.rows();
        for (int d = 0; d < dHead; d++) {
            int to = d / tileRows * tileRows * tokens + d % tileRows;
            for (int t = 0; t < tokens; t++) {
                packedValues[to + t * tileRows] = rows[t * dHead + d];
            }
        }
    }

    /** scores = keys · queries. */
    private void score(int stripe, int tokens) {
        int tileRows = tile.rows();
        for (int t = 0; t < tokens; t += tileRows) {
            tile.multiply(packedKeys, t * dHead, queries[stripe], 0, dHead, scores, (1 + t) * columns);
        }
    }

    /** sums += valuesᵀ · weights, after the rescaling that new maxima ask for. */
    private void sum(int stripe, int tokens, boolean rescale) {
        float[] stripeSums = sums[stripe];
        if (rescale) {
            Lanes.scale(stripeSums, stripeSums.length, panels[stripe].factors());
        }
        int tileRows = tile.rows();
        for (int d = 0; d < dHead; d += tileRows) {
            tile.multiply(packedValues, d * tokens, scores, 0, tokens, product, 0);
            Lanes.add(product, stripeSums, d * columns, product.length);
        }
    }

    private void finish(AttentionCall call, int stripe) {
        QueryPanel panel = panels[stripe];
        float[] stripeSums = sums[stripe];
        for (int column = 0; column < panel.used(); column++) {
            float normalizer = 1 / panel.sum(column);
            for (int d = 0; d < dHead; d++) {
                vector[d] = stripeSums[d * columns + column] * normalizer;
            }
            long to = (long) panel.query(column) * dHead * Float.BYTES;
            MemorySegment.copy(vector, 0, call.output, JAVA_FLOAT_UNALIGNED, to, dHead);
        }
    }
}
