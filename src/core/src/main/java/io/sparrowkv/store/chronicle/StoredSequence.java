package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The beginning of one sequence in a store: what was known of it when it was looked up, and what its reader adds.
 *
 * <p>A sequence can go on from the end of a block k when the store has the codes of all blocks before it and, dense, the sinks and
 * the blocks that a window right after block k reaches into. Nothing then has to be computed again: what a token reads as codes
 * depends on its position alone. The dense vectors of a window could not be had by reading its tokens anew, for their vectors depend
 * in each layer on the window before them, and so, layer by layer, on far earlier tokens. Since dense vectors are large, they are
 * kept at a few places of each prompt, close together at its end, where others are likely to leave it.
 *
 * <p>No failure of the store reaches the reader: it is said once, and nothing more is kept.
 */
public final class StoredSequence implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(StoredSequence.class);
    private static final int TOKENS = CodeBlockLayout.TOKENS;
    private static final int LOOKUPS = 3;

    private final StoreParts parts;
    private final StoreProfile profile;
    private final int[] tokens;
    /** After the sinks, and after each whole block of the tokens. */
    private final long[] prefixes;

    private final List<Long> pins = new ArrayList<>();
    private final ResumePoints resumePoints;
    private final int restored;
    private int noted;
    private boolean writable;

    StoredSequence(StoreParts parts, int[] tokens, int most) {
        if (most < 0 || most > tokens.length) {
            throw new IllegalArgumentException(most + " of " + tokens.length + " tokens");
        }
        this.parts = parts;
        this.profile = parts.manifest().profile();
        this.tokens = tokens.clone();
        int sinks = profile.sinks();
        int blocks = Math.max(0, tokens.length - sinks) / TOKENS;
        prefixes = new long[blocks == 0 ? 0 : blocks + 1];
        if (blocks == 0) {
            restored = 0;
            resumePoints = ResumePoints.NONE;
            return;
        }
        writable = true;
        long hash = parts.salt();
        for (int i = 0; i < prefixes.length; i++) {
            for (int token = start(i); token < end(i); token++) {
                hash = BlockKey.chain(hash, tokens[token]);
            }
            prefixes[i] = hash;
        }
        int last = Math.max(0, most - sinks) / TOKENS;
        int found = 0;
        int end = 0;
        try {
            parts.requireWhole();
            found = Math.min(lookUp(), last);
            end = longestRestorable(found);
        } catch (IOException | RuntimeException | InternalError e) {
            giveUp(e);
        }
        restored = end;
        long room = parts.manifest().denseSlots() / profile.layers() / 2; // of one prompt, so that others keep theirs
        int resumable = Math.max(0, tokens.length - 1 - sinks) / TOKENS;
        resumePoints = ResumePoints.of(resumable, restored, found, last, profile.denseBlocks(), room);
    }

    /** Whole blocks that need not be read again; the tokens before them are the sinks. */
    public int restoredBlocks() {
        return restored;
    }

    /** Tokens that need not be read again. */
    public int restoredTokens() {
        return restored == 0 ? 0 : profile.sinks() + restored * TOKENS;
    }

    /** What the store's codes depend on; a cache that codes or reads otherwise must not begin with them. */
    public StoreProfile profile() {
        return profile;
    }

    /** A restored block where it lies in the mapped memory; not to be used after {@link #close}. */
    public MemorySegment block(int block, Site site) {
        MemorySegment body = parts.block(prefixes[block + 1], parts.layout(site));
        if (body == null) {
            throw new IllegalStateException("block " + block + " of " + site + " was checked and is gone");
        }
        return body;
    }

    /** Dense keys or values of a restored block of the window, fp32 {@code [64, kvHeads, dHead]}, where they lie. */
    public MemorySegment dense(int block, int layer, VectorKind kind) {
        return requireDense(block + 1, layer, kind, TOKENS);
    }

    /** Dense keys or values of the sinks, fp32 {@code [sinks, kvHeads, dHead]}, where they lie. */
    public MemorySegment sinks(int layer, VectorKind kind) {
        return requireDense(0, layer, kind, profile.sinks());
    }

    /** Whether {@link #keepDense} has a use for a block's dense vectors. */
    public boolean wantsDense(int block) {
        return writable && resumePoints.needDense(block);
    }

    /** Keeps a block of codes, if it is one of the known tokens. */
    public synchronized void keep(int block, CodeBlockLayout layout, MemorySegment body) {
        if (block + 1 < prefixes.length) {
            attempt(block + 1, () -> parts.putBlock(prefixes[block + 1], layout, body));
        }
    }

    /** Keeps a block's dense keys or values, fp32 {@code [64, kvHeads, dHead]}. */
    public synchronized void keepDense(int block, int layer, VectorKind kind, MemorySegment vectors) {
        attempt(block + 1, () -> {
            parts.putDense(prefixes[block + 1], layer, kind, vectors);
            return true; // without room for it only this resume point is lost
        });
    }

    /** Keeps the sinks' dense keys or values, fp32 {@code [sinks, kvHeads, dHead]}. */
    public synchronized void keepSinks(int layer, VectorKind kind, MemorySegment vectors) {
        if (prefixes.length > 0 && profile.sinks() > 0) {
            attempt(0, () -> {
                parts.putDense(prefixes[0], layer, kind, vectors);
                return true;
            });
        }
    }

    /** Lets go of what was kept from eviction. */
    @Override
    public synchronized void close() {
        writable = false;
        pins.forEach(parts::unpin);
        pins.clear();
    }

    private interface Put {
        boolean done();
    }

    private void attempt(int index, Put put) {
        if (!writable) {
            return;
        }
        try {
            if (!note(index) || !put.done()) {
                writable = false;
                LOG.warn(
                        "{}: the store is full and all of it is in use; it keeps no more of this text", parts.folder());
            }
        } catch (RuntimeException | InternalError e) {
            giveUp(e);
        }
    }

    private void giveUp(Throwable e) {
        writable = false;
        LOG.warn("{}: going on without the store ({})", parts.folder(), e.getMessage());
    }

    /** Makes the store know, and keep while this is open, all prefixes up to one. */
    private boolean note(int index) {
        for (; noted <= index; noted++) {
            long prefix = prefixes[noted];
            if (!pin(prefix)) {
                return false;
            }
            MemorySegment record = record(noted);
            boolean taken = record != null && PrefixRecord.intact(record);
            if (taken && !matches(record, noted)) {
                return false; // two texts of one hash: the first keeps it
            }
            if (!taken
                    && !parts.addPrefix(
                            prefix,
                            parent(noted),
                            end(noted),
                            tokens,
                            start(noted),
                            end(noted),
                            System.currentTimeMillis())) {
                return false;
            }
            if (noted > 0) {
                touch(noted - 1); // an eviction that lists it without this child will see that it changed
            }
        }
        return true;
    }

    /** The last prefix whose codes are all there, pinned; 0 when there is none. */
    private int lookUp() {
        for (int attempt = 0; attempt < LOOKUPS; attempt++) {
            int found = 0;
            while (found < prefixes.length && known(found)) {
                found++;
            }
            if (found == 0) {
                return 0;
            }
            found--;
            if (pin(prefixes[found])) {
                MemorySegment record = record(found);
                if (record != null && matches(record, found)) {
                    noted = found + 1;
                    for (int i = 0; i <= found; i++) {
                        touch(i);
                    }
                    return found;
                }
            }
        }
        return 0;
    }

    private boolean known(int index) {
        MemorySegment record = record(index);
        if (record == null || !matches(record, index)) {
            return false;
        }
        if (index == 0) {
            return true;
        }
        for (int layer = 0; layer < profile.layers(); layer++) {
            MemorySegment slot = parts.files().blocks.find(prefixes[index], layer);
            if (slot == null || !BlockSlot.has(slot, 0) || !BlockSlot.has(slot, 1)) {
                return false;
            }
        }
        return true;
    }

    private int longestRestorable(int found) {
        if (found == 0 || !hasDense(0, profile.sinks())) {
            return 0;
        }
        int intact = 0;
        while (intact < found && hasCodes(intact + 1)) {
            intact++;
        }
        int end = intact;
        while (end > 0 && !hasWindow(end)) {
            end--;
        }
        return end;
    }

    private boolean hasWindow(int end) {
        for (int index = end; index > Math.max(0, end - profile.denseBlocks()); index--) {
            if (!hasDense(index, TOKENS)) {
                return false;
            }
        }
        return true;
    }

    private boolean hasCodes(int index) {
        for (int layer = 0; layer < profile.layers(); layer++) {
            for (VectorKind kind : VectorKind.values()) {
                if (parts.block(prefixes[index], parts.layout(Site.of(layer, kind))) == null) {
                    return false;
                }
            }
        }
        return true;
    }

    private boolean hasDense(int index, int count) {
        if (count == 0) {
            return true;
        }
        if (!parts.files().dense.contains(prefixes[index], 0)) {
            return false;
        }
        for (int layer = 0; layer < profile.layers(); layer++) {
            for (VectorKind kind : VectorKind.values()) {
                if (parts.dense(prefixes[index], layer, kind, count) == null) {
                    return false;
                }
            }
        }
        return true;
    }

    private MemorySegment requireDense(int index, int layer, VectorKind kind, int count) {
        MemorySegment vectors = parts.dense(prefixes[index], layer, kind, count);
        if (vectors == null) {
            throw new IllegalStateException("dense vectors of layer " + layer + " were checked and are gone");
        }
        return vectors;
    }

    private boolean pin(long prefix) {
        boolean pinned = parts.pin(prefix);
        if (pinned) {
            pins.add(prefix);
        }
        return pinned;
    }

    private MemorySegment record(int index) {
        return parts.record(prefixes[index]);
    }

    private boolean matches(MemorySegment record, int index) {
        return PrefixRecord.matches(record, parent(index), end(index), tokens, start(index), end(index));
    }

    private void touch(int index) {
        MemorySegment record = record(index);
        if (record != null) {
            PrefixRecord.use(record, System.currentTimeMillis());
        }
    }

    private long parent(int index) {
        return index == 0 ? 0 : prefixes[index - 1];
    }

    private int start(int index) {
        return index == 0 ? 0 : end(index - 1);
    }

    private int end(int index) {
        return profile.sinks() + index * TOKENS;
    }
}
