package io.sparrowkv.stream;

/** Where the batches of one site go: encoded, or as they are. It is called by one background thread, in the order of the tokens. */
public interface BatchTarget {
    /** Tokens that were accepted. */
    int tokens();
}
