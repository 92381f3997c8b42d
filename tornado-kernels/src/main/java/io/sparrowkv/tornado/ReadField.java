package io.sparrowkv.tornado;

/** Elements of the int32 array that tells the reading kernels what to do; it is copied to the device before each launch. */
final class ReadField {
    /** Blocks to store: 1, or 0. */
    static final int STORED = 0;

    /** The block that is stored or decoded. */
    static final int BLOCK = 1;

    /** First token that is attended to. */
    static final int FIRST = 2;

    /** The token after the last one that is attended to. */
    static final int END = 3;

    /** Parts that the tokens are cut into. */
    static final int PARTS = 4;

    /** Tokens of a part. */
    static final int SPAN = 5;

    /** Pairs of a key's code that are read. */
    static final int READ_KEY = 6;

    /** Pairs of a value's code that are read. */
    static final int READ_VALUE = 7;

    static final int COUNT = 8;

    private ReadField() {}
}
