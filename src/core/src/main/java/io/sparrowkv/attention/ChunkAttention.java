package io.sparrowkv.attention;

import io.sparrowkv.concurrent.Workers;
import java.lang.foreign.Arena;
import java.util.IdentityHashMap;
import java.util.Map;

/**
 * Attention of a chunk's queries on a team of threads: few queries through {@link LatentAttention}, many through {@link TileAttention}.
 *
 * <p>In latent space a pair of a code costs one vector operation for up to a vector's queries, and the products with W_dec before and
 * after are a fixed cost for each such group of queries; decoded, a token costs K_key + K_value + 2 · queries multiply-adds a
 * dimension. A generated token has one group of queries to a KV head, a chunk of a prompt hundreds.
 */
final class ChunkAttention implements AutoCloseable {
    /** Most queries of a KV head that are few. */
    private static final int FEW = 16;

    /** Fewest blocks of a part, of all its heads: below, the products with W_dec that each part needs cost more than the blocks. */
    private static final int BLOCKS_OF_PART = 16;

    /** Tasks of a thread from which on it does not matter whether they can be shared out evenly. */
    private static final int MANY_TASKS = 4;

    private final int kvHeads;
    private final int width;
    private final Arena arena = Arena.ofShared();
    private final Workers workers;
    private final TileAttention[] tiles;
    private final LatentAttention[] latents;
    private final PartialOutputs partials;
    private final Workers.Task tileTask = this::runTiles;
    private final Workers.Task latentTask = this::runLatents;

    private final Map<Atoms, SlicedAtoms> slicedAtoms = new IdentityHashMap<>();

    // The call in progress.
    private AttentionCall call;
    private int stripes;
    /** KV heads that one task attends to, groups of queries of each, and parts of their blocks. */
    private int headsOfTask;

    private int groups;
    private int parts;

    /**
     * @param latents most atoms of a dictionary
     * @param residualNumbers numbers of a residual, 0 where none is kept
     * @param budget most pairs of a stored code
     */
    ChunkAttention(
            AttentionShape shape, RotaryEmbedding rotary, int latents, int residualNumbers, int budget, int threads) {
        kvHeads = shape.kvHeads();
        workers = Workers.start("sparrow-attention", threads);
        tiles = new TileAttention[threads];
        this.latents = new LatentAttention[threads];
        LatentKernels kernels = LatentKernels.of(shape.group());
        width = kernels.width();
        for (int i = 0; i < threads; i++) {
            UnpackedCodes codes = new UnpackedCodes(budget);
            ResidualRows residuals = new ResidualRows(arena, residualNumbers);
            tiles[i] = new TileAttention(arena, rotary, shape.dHead(), codes, residuals);
            this.latents[i] = new LatentAttention(arena, rotary, shape, latents, residuals, kernels, codes);
        }
        partials = new PartialOutputs(shape.dHead(), width);
    }

    /** Computes the outputs of a call. */
    void run(AttentionCall call) {
        this.call = call;
        if (call.queriesPerHead <= FEW) {
            groups = Math.ceilDiv(call.queriesPerHead, width);
            headsOfTask = 1;
            if (call.rotatesKeys && call.keys instanceof CodedSite keys) {
                keys.atoms().forEach(this::slice);
                headsOfTask = keys.sharesAtoms() ? kvHeads : 1;
            }
            int tasks = kvHeads / headsOfTask * groups;
            parts = parts(tasks, call.blocks() * headsOfTask / BLOCKS_OF_PART);
            partials.reserve(kvHeads * groups * parts);
            workers.forEach(tasks * parts, latentTask);
            for (int i = 0; i < kvHeads * groups; i++) {
                partials.write(i * parts, parts, call.output);
            }
        } else {
            stripes = Math.ceilDiv(call.queriesPerHead, TileAttention.columns());
            int least = Math.ceilDiv(stripes, TileAttention.STRIPES);
            parts = least * parts(kvHeads * least, stripes / least);
            workers.forEach(kvHeads * parts, tileTask);
        }
    }

    /** In how many parts, at most {@code most}, each of {@code tasks} tasks is cut so that all threads have as much to do. */
    private int parts(int tasks, int most) {
        int threads = workers.threads();
        int parts = 1;
        while (parts < most && tasks * parts % threads != 0 && tasks * parts < MANY_TASKS * threads) {
            parts++;
        }
        return parts;
    }

    private void runTiles(int index, int worker) {
        int head = index / parts;
        int part = index % parts;
        int first = stripes * part / parts;
        tiles[worker].run(call, head, first, stripes * (part + 1) / parts - first);
    }

    private void runLatents(int index, int worker) {
        int part = index % parts;
        int group = index / parts % groups;
        int head = index / parts / groups * headsOfTask;
        SlicedAtoms atoms =
                call.rotatesKeys && call.keys instanceof CodedSite keys ? slicedAtoms.get(keys.atoms(head)) : null;
        LatentAttention attention = latents[worker];
        attention.run(call, atoms, head, headsOfTask, group * width, part, parts);
        for (int n = 0; n < headsOfTask; n++) {
            attention.result(n, partials, ((head + n) * groups + group) * parts + part);
        }
    }

    private void slice(Atoms atoms) {
        slicedAtoms.computeIfAbsent(atoms, whole -> new SlicedAtoms(arena, whole));
    }

    @Override
    public void close() {
        workers.close();
        arena.close();
    }
}
