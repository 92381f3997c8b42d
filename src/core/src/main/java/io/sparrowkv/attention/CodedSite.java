package io.sparrowkv.attention;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.RotatedCodec;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import io.sparrowkv.store.BlockStore;
import io.sparrowkv.store.chronicle.StoredSequence;
import io.sparrowkv.stream.CodeTarget;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * The codes of one site of a sequence: full blocks in the store, each leased for as long as the sequence needs it, and the block
 * that is being filled. The background thread fills; the attending thread reads what {@link #tokens} covers, and releases.
 */
final class CodedSite implements KvSite, CodeTarget {
    private static final int FIRST_BLOCKS = 16;

    private final CodeBlockLayout layout;
    private final List<Dictionary> dictionaries;
    /** One for all KV heads, or one for each. */
    private final List<Atoms> atoms;

    private final BlockStore store;
    private final long sequence;
    private final MemorySegment open;
    private final Optional<ResidualWriter> residuals;
    private final Optional<RotatedCodec> residualCodec;
    private BlockLease[] leases = new BlockLease[FIRST_BLOCKS];
    private volatile MemorySegment[] bodies = new MemorySegment[FIRST_BLOCKS];
    private volatile StoredSequence stored;
    private int sealed;
    private int released;
    private volatile int tokens;

    /**
     * @param kvHeads KV heads of the layer
     * @param dictionaries of all KV heads, or one for each of them
     * @param open the block being filled, {@link CodeBlockLayout#byteSize} bytes; sites that fill whole blocks may share it
     * @param residuals where the layout keeps residuals
     */
    CodedSite(
            CodeBlockLayout layout,
            int kvHeads,
            List<Dictionary> dictionaries,
            BlockStore store,
            long sequence,
            MemorySegment open,
            Optional<ResidualWriter> residuals) {
        this.layout = layout;
        this.dictionaries = dictionaries;
        atoms = layout.site().heads() == Heads.JOINT
                ? byHead(Atoms.of(dictionaries.getFirst()), kvHeads)
                : dictionaries.stream().map(Atoms::of).toList();
        this.store = store;
        this.sequence = sequence;
        this.open = open;
        this.residuals = residuals;
        residualCodec = layout.keepsResidual() ? Optional.of(layout.residualCodec()) : Optional.empty();
    }

    private static List<Atoms> byHead(Atoms joint, int kvHeads) {
        int dHead = joint.dHead() / kvHeads;
        return IntStream.range(0, kvHeads)
                .mapToObj(head -> joint.columns(head * dHead, dHead))
                .toList();
    }

    /** Begins, empty, with a store's blocks, and keeps in it those that follow. They are leased by the sequence. */
    synchronized void restore(StoredSequence sequence) {
        int blocks = sequence.restoredBlocks();
        int room = Math.max(FIRST_BLOCKS, blocks);
        MemorySegment[] restored = new MemorySegment[room];
        for (int block = 0; block < blocks; block++) {
            restored[block] = sequence.block(block, layout.site());
        }
        leases = new BlockLease[room];
        bodies = restored;
        sealed = blocks;
        stored = sequence;
        tokens = blocks * CodeBlockLayout.TOKENS;
    }

    CodeBlockLayout layout() {
        return layout;
    }

    /** Whether the residual is read beside the first {@code read} pairs of each code. */
    boolean readsResiduals(int read) {
        return layout.keepsResidual() && read >= layout.budget();
    }

    /** How residuals are kept; of vectors as wide as what was coded. */
    RotatedCodec residualCodec() {
        return residualCodec.orElseThrow();
    }

    /** Where the vectors of a KV head begin in what was coded. */
    int column(int kvHead) {
        return layout.site().heads() == Heads.JOINT ? kvHead * atoms(kvHead).dHead() : 0;
    }

    /** The code of a KV head's vector among those of a token. */
    private int codeOf(int kvHead) {
        return layout.kvHeads() == 1 ? 0 : kvHead;
    }

    /**
     * Widens the first codes of a KV head in a block.
     *
     * @param stride what an index is multiplied by
     */
    void unpack(UnpackedCodes codes, int block, int kvHead, int count, int stride) {
        codes.read(layout, body(block), codeOf(kvHead), count, stride);
    }

    /**
     * Finds the residuals of a KV head's codes in the {@link #body} of a block.
     *
     * @param offsets written: where each begins
     */
    void residualOffsets(int block, int kvHead, int count, long[] offsets) {
        MemorySegment body = body(block);
        int head = codeOf(kvHead);
        boolean counted = layout.pairs().counted();
        int residual = layout.residualOffset(layout.budget());
        int bytes = layout.rowBytes();
        long row = layout.rowOffset(body, head, 0);
        for (int t = 0; t < count; t++) {
            if (counted) {
                int pairs = layout.pairs(body, head, t);
                residual = layout.residualOffset(pairs);
                bytes = layout.rowBytes(pairs);
            }
            offsets[t] = row + residual;
            row += bytes;
        }
    }

    @Override
    public List<Dictionary> dictionaries() {
        return dictionaries;
    }

    private Dictionary dictionary(int head) {
        return dictionaries.get(dictionaries.size() == 1 ? 0 : head);
    }

    /** What a KV head's codes are read with. */
    Atoms atoms(int kvHead) {
        return atoms.get(sharesAtoms() ? 0 : kvHead);
    }

    /** What the codes of all KV heads are read with, once where they share it. */
    List<Atoms> atoms() {
        return atoms;
    }

    /** Whether all KV heads are read with the same atoms. */
    boolean sharesAtoms() {
        return atoms.size() == 1;
    }

    @Override
    public int codesOfToken() {
        return layout.kvHeads();
    }

    @Override
    public int budget() {
        return layout.budget();
    }

    @Override
    public int tokens() {
        return tokens;
    }

    @Override
    public void accept(CodeBatch codes, MemorySegment vectors, int firstToken, int count) {
        for (int done = 0; done < count; ) {
            int token = (firstToken + done) % CodeBlockLayout.TOKENS;
            int part = Math.min(count - done, CodeBlockLayout.TOKENS - token);
            for (int head = 0; head < layout.kvHeads(); head++) {
                layout.pack(codes, done * layout.kvHeads() + head, layout.kvHeads(), head, token, part, open);
                if (residuals.isPresent()) {
                    residuals
                            .get()
                            .write(
                                    layout,
                                    residualCodec.orElseThrow(),
                                    dictionary(head),
                                    vectors,
                                    done,
                                    head,
                                    token,
                                    part,
                                    open);
                }
            }
            done += part;
            if (token + part == CodeBlockLayout.TOKENS) {
                seal();
            }
            tokens = firstToken + done;
        }
    }

    /** The bytes of a block that {@link #tokens} reaches into. */
    MemorySegment body(int block) {
        MemorySegment[] current = bodies;
        MemorySegment body = block < current.length ? current[block] : null;
        return body == null ? open : body;
    }

    /** The first block that was not released. */
    synchronized int firstBlock() {
        return released;
    }

    @Override
    public synchronized void release(int block) {
        for (; released < Math.min(block, sealed); released++) {
            if (leases[released] != null) {
                leases[released].close();
                store.remove(key(released));
            }
            leases[released] = null;
            bodies[released] = null;
        }
    }

    @Override
    public synchronized int blocks() {
        return sealed - released;
    }

    @Override
    public synchronized CacheBytes.Codes bytes(boolean open) {
        CacheBytes.Codes bytes = open ? bytes(layout.indexBytes(), layout.byteSize()) : CacheBytes.Codes.NONE;
        for (int block = released; block < sealed; block++) {
            bytes = bytes.plus(bytes(layout.indexBytes(bodies[block]), layout.byteSize(bodies[block])));
        }
        return bytes;
    }

    private CacheBytes.Codes bytes(long indices, long all) {
        long residuals = layout.residualBytes();
        long scales = layout.scaleBytes();
        return new CacheBytes.Codes(indices, all - indices - residuals - scales, residuals, scales);
    }

    @Override
    public Site site() {
        return layout.site();
    }

    @Override
    public boolean beforeRope() {
        return layout.site().kind() == VectorKind.KEY && dictionaries.getFirst().rope() == RopeStage.PRE;
    }

    @Override
    public void close() {
        release(Integer.MAX_VALUE);
    }

    private synchronized void seal() {
        BlockKey key = key(sealed);
        layout.close(open);
        store.put(key, layout, open);
        BlockLease lease = store.get(key).orElseThrow();
        if (sealed == leases.length) {
            leases = Arrays.copyOf(leases, 2 * sealed);
            bodies = Arrays.copyOf(bodies, 2 * sealed);
        }
        leases[sealed] = lease;
        bodies[sealed] = lease.body();
        if (stored != null) {
            stored.keep(sealed, layout, open);
        }
        sealed++;
    }

    private BlockKey key(int block) {
        return new BlockKey(BlockKey.chain(sequence, block), layout.site());
    }
}
