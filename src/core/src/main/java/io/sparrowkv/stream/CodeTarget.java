package io.sparrowkv.stream;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.sae.Dictionary;
import java.util.List;

/** Where the codes of one site go. {@link #accept} is called by one background thread, in the order of the tokens. */
public interface CodeTarget {
    /** The dictionary of all KV heads, or one for each of them. */
    List<Dictionary> dictionaries();

    /** Pairs kept of each vector. */
    int budget();

    /**
     * Takes the codes of consecutive tokens.
     *
     * @param codes {@code [tokens, kvHeads]} rows
     * @param firstToken the first token, counted from the site's first coded one
     */
    void accept(CodeBatch codes, int firstToken, int tokens);

    /** Tokens whose codes were accepted. */
    int tokens();
}
