package io.sparrowkv.stream;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** Where the codes of one site go. */
public interface CodeTarget extends BatchTarget {
    /** The dictionary of all codes, or one for each KV head. */
    List<Dictionary> dictionaries();

    /** Codes of a token: one for each KV head, or one for all of them together. */
    int codesOfToken();

    /** Pairs kept of each vector. */
    int budget();

    /**
     * Takes the codes of consecutive tokens.
     *
     * @param codes {@code [tokens, codesOfToken]} rows
     * @param vectors what they are the codes of, fp32 {@code [tokens, kvHeads, dHead]}, valid during the call only
     * @param firstToken the first token, counted from the site's first coded one
     */
    void accept(CodeBatch codes, MemorySegment vectors, int firstToken, int tokens);
}
