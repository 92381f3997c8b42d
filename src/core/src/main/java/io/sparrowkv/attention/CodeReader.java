package io.sparrowkv.attention;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.MemorySegment;

/**
 * Reads one layer's codes on the device that may have written them, where blocks and dictionaries stay: turns codes back into vectors,
 * and attends to them for a token's queries. Keys are those after RoPE: a score is Σ c_k z[index_k] + q · b_dec with z = W_dec q, and
 * the weights of values are summed by atom before one product with W_dec, so that no vector is ever decoded to attend to it.
 *
 * <p>Used by one thread at a time. Results agree with the definition, {@link CodeReaderCheck}, to 1e-4 relative to the largest.
 *
 * @see CodeReaders
 */
public interface CodeReader extends AutoCloseable {
    /** What it runs on, for people. */
    String description();

    /** What it reads. */
    CodedLayer layer();

    /**
     * Takes a block's codes, anew if it has that block already: one that fills is put again and again.
     *
     * @param block number of the block, whose first token is {@code block * }{@link CodeBlockLayout#TOKENS}
     * @param keys the block's bytes, as the layer's key layout says
     * @param values the block's bytes, as the layer's value layout says
     */
    void put(int block, MemorySegment keys, MemorySegment values);

    /**
     * Turns a block's codes back into vectors.
     *
     * @param read pairs of a code that are read
     * @param vectors written, fp32 {@code [kvHeads, }{@link CodeBlockLayout#TOKENS}{@code , dHead]}
     */
    void decode(VectorKind kind, int block, int read, MemorySegment vectors);

    /**
     * Attends to coded tokens for the queries of one token.
     *
     * @param queries fp32 {@code [heads, dHead]}, after RoPE, not scaled
     * @param firstToken first coded token that is seen
     * @param endToken the one after the last, at most what has been put
     * @param readKey pairs of a key's code that are read
     * @param readValue pairs of a value's code that are read
     * @param sums written
     */
    void attend(MemorySegment queries, int firstToken, int endToken, int readKey, int readValue, CodedSums sums);

    /** Frees the device's memory. */
    @Override
    void close();
}
