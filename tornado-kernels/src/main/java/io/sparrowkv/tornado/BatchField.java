package io.sparrowkv.tornado;

/** Elements of the int32 array that tells the kernels about the batch; it is copied to the device before each. */
final class BatchField {
    /** Rows of the batch. */
    static final int ROWS = 0;

    /** Pairs kept of each row, K. */
    static final int BUDGET = 1;

    /** Which dictionary of the bank encodes. */
    static final int SLOT = 2;

    /** Which dictionary of the product's weights that is: the same, or the first where there is one at a time. */
    static final int PLACE = 3;

    /** Number of the batch: each kernel hands it on, so that one that did not run is noticed. */
    static final int SEQUENCE = 4;

    /** Number of the batch that the weights are ready for: the widening's to write, or the host's where nothing is widened. */
    static final int WIDENED = 5;

    /** Number of the batch that the product ran for. */
    static final int MULTIPLIED = 6;

    static final int COUNT = 7;

    private BatchField() {}
}
