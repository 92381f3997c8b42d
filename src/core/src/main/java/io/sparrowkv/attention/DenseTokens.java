package io.sparrowkv.attention;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * The dense keys and values of a range of tokens, fp32 {@code [kvHeads, capacity, dHead]} each, used as a ring: tokens are
 * appended at the end and dropped from the front. It grows as needed.
 */
final class DenseTokens implements AutoCloseable {
    private static final int FIRST_CAPACITY = 32;

    private final int kvHeads;
    private final int dHead;
    private final int most;
    private Arena arena = Arena.ofShared();
    private MemorySegment keys = MemorySegment.NULL;
    private MemorySegment values = MemorySegment.NULL;
    private int capacity;
    private int first;
    private int end;

    /**
     * @param most tokens that will ever be held at a time; growth stops there
     * @param first the first token to be appended
     */
    DenseTokens(int kvHeads, int dHead, int most, int first) {
        this.kvHeads = kvHeads;
        this.dHead = dHead;
        this.most = most;
        this.first = first;
        this.end = first;
    }

    /** The first token held. */
    int first() {
        return first;
    }

    /** The token after the last one held. */
    int end() {
        return end;
    }

    /** Bytes allocated for keys and values. */
    long byteSize() {
        return keys.byteSize() + values.byteSize();
    }

    /** Forgets the tokens before {@code token}, which may lie past the end. */
    void dropBefore(int token) {
        first = Math.max(first, token);
        end = Math.max(end, first);
    }

    /** Appends tokens {@code from} to {@code to} of a chunk {@code [tokens, kvHeads, dHead]} whose first token is {@code start}. */
    void append(MemorySegment chunkKeys, MemorySegment chunkValues, int start, int from, int to) {
        ensure(end - first + to - from);
        long vector = vectorBytes();
        for (int token = from; token < to; token++) {
            long source = (long) (token - start) * kvHeads * vector;
            for (int head = 0; head < kvHeads; head++) {
                long offset = offset(head, token);
                MemorySegment.copy(chunkKeys, source + head * vector, keys, offset, vector);
                MemorySegment.copy(chunkValues, source + head * vector, values, offset, vector);
            }
        }
        end += to - from;
    }

    /** Copies held tokens {@code from} to {@code to} into {@code [tokens, kvHeads, dHead]}. */
    void copyTo(boolean ofKeys, int from, int to, MemorySegment destination) {
        MemorySegment source = ofKeys ? keys : values;
        long vector = vectorBytes();
        for (int token = from; token < to; token++) {
            for (int head = 0; head < kvHeads; head++) {
                long target = ((long) (token - from) * kvHeads + head) * vector;
                MemorySegment.copy(source, offset(head, token), destination, target, vector);
            }
        }
    }

    /** Describes the longest run of tokens from {@code token} on that lie one after the other; returns the token after it. */
    int describeRun(int token, DenseRun run) {
        int slot = token % capacity;
        int tokens = Math.min(end - token, capacity - slot);
        run.set(keys, values, slot * vectorBytes(), capacity * vectorBytes(), vectorBytes(), token, tokens);
        return token + tokens;
    }

    @Override
    public void close() {
        arena.close();
    }

    private long vectorBytes() {
        return (long) dHead * Float.BYTES;
    }

    private long offset(int head, int token) {
        return ((long) head * capacity + token % capacity) * vectorBytes();
    }

    private void ensure(int tokens) {
        if (tokens <= capacity) {
            return;
        }
        if (tokens > most) {
            throw new IllegalStateException(tokens + " tokens where at most " + most + " were foreseen");
        }
        int grown = (int) Math.min(most, Math.max(Math.max(tokens, FIRST_CAPACITY), 2L * capacity));
        Arena next = Arena.ofShared();
        long bytes = (long) kvHeads * grown * vectorBytes();
        MemorySegment grownKeys = next.allocate(bytes, 64);
        MemorySegment grownValues = next.allocate(bytes, 64);
        for (int head = 0; head < kvHeads; head++) {
            for (int token = first; token < end; token++) {
                long to = ((long) head * grown + token % grown) * vectorBytes();
                MemorySegment.copy(keys, offset(head, token), grownKeys, to, vectorBytes());
                MemorySegment.copy(values, offset(head, token), grownValues, to, vectorBytes());
            }
        }
        arena.close();
        arena = next;
        keys = grownKeys;
        values = grownValues;
        capacity = grown;
    }
}
