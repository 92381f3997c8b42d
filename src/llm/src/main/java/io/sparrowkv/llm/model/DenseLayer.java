package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.lang.foreign.MemorySegment;

/**
 * The keys and values of one layer, {@code [kvHeads, capacity, dHead]} each. With a sliding window, tokens that no later query can see
 * are dropped when room is needed.
 */
final class DenseLayer {
    private final NDManager manager;
    private final int kvHeads;
    private final int dHead;
    private final int window;
    private int capacity;
    private int first;
    private int length;
    private NDArray keys;
    private NDArray values;

    DenseLayer(NDManager manager, int kvHeads, int dHead, int window, int expectedTokens) {
        this.manager = manager;
        this.kvHeads = kvHeads;
        this.dHead = dHead;
        this.window = window;
        this.capacity = (int) capacity(window, expectedTokens);
        this.keys = allocate(capacity);
        this.values = allocate(capacity);
    }

    /** Rows set aside for a sequence; with a window twice that, so that tokens are moved up once a window. */
    static long capacity(int window, int expectedTokens) {
        return Math.max(1, window == 0 ? expectedTokens : Math.min(expectedTokens, 2L * window));
    }

    /** Tokens that a query sees, 0 for all. */
    int window() {
        return window;
    }

    /** Tokens appended so far, those dropped included. */
    int length() {
        return length;
    }

    long byteSize() {
        return 2L * Float.BYTES * (length - first) * kvHeads * dHead;
    }

    /** Some heads' keys of the tokens {@code [from, to)}: {@code [heads, to - from, dHead]}, shared. */
    NDArray keys(NDManager scope, int head, int heads, int from, int to) {
        return rows(scope, keys, head, heads, from, to);
    }

    /** Values; as {@link #keys}. */
    NDArray values(NDManager scope, int head, int heads, int from, int to) {
        return rows(scope, values, head, heads, from, to);
    }

    private NDArray rows(NDManager scope, NDArray array, int head, int heads, int from, int to) {
        NDArray view = array.get(new NDIndex().addSliceDim(head, head + heads).addSliceDim(from - first, to - first));
        view.attach(scope);
        return view;
    }

    /** Appends {@code [tokens, kvHeads, dHead]} each. */
    void append(NDArray newKeys, NDArray newValues, int tokens) {
        makeRoom(tokens);
        write(newKeys, keys, tokens);
        write(newValues, values, tokens);
        length += tokens;
    }

    private void makeRoom(int tokens) {
        if (length - first + tokens <= capacity) {
            return;
        }
        int kept = window == 0 ? length - first : Math.min(length - first, window - 1);
        int wanted = kept + tokens <= capacity
                ? capacity
                : Math.max(Math.addExact(kept, tokens), 2 * Math.min(capacity, 1 << 29));
        keys = moved(keys, kept, wanted);
        values = moved(values, kept, wanted);
        first = length - kept;
        capacity = wanted;
    }

    /** The newest {@code kept} rows of each head, brought to the front of an array of {@code wanted} rows. */
    private NDArray moved(NDArray array, int kept, int wanted) {
        NDArray target = wanted == capacity ? array : allocate(wanted);
        MemorySegment from = Libtorch.memory(array);
        MemorySegment to = Libtorch.memory(target);
        long rowBytes = (long) dHead * Float.BYTES;
        for (long head = 0; head < kvHeads; head++) {
            long source = head * capacity + (length - first - kept);
            MemorySegment.copy(from, source * rowBytes, to, head * wanted * rowBytes, kept * rowBytes);
        }
        if (target != array) {
            array.close();
        }
        return target;
    }

    private void write(NDArray chunk, NDArray array, int tokens) {
        MemorySegment from = Libtorch.memory(chunk);
        MemorySegment to = Libtorch.memory(array);
        long rowBytes = (long) dHead * Float.BYTES;
        for (long token = 0; token < tokens; token++) {
            for (long head = 0; head < kvHeads; head++) {
                long row = head * capacity + (length - first + token);
                MemorySegment.copy(from, (token * kvHeads + head) * rowBytes, to, row * rowBytes, rowBytes);
            }
        }
    }

    private NDArray allocate(int rows) {
        return manager.create(new Shape(kvHeads, rows, dHead), DataType.FLOAT32);
    }
}
