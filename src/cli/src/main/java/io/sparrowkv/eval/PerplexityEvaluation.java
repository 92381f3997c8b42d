package io.sparrowkv.eval;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.DenseKvCache;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.model.SparseKvCache;
import java.util.Arrays;
import java.util.function.IntConsumer;
import java.util.function.Supplier;

/**
 * Reads a text twice at once, with the dense cache and with a sparse one, and compares what the model predicts. The text streams as
 * in generation: chunk by chunk, all layers coded at once, only window and sinks dense. It is cut in contexts of equal length, each
 * read from an empty cache; the first token of a context is not predicted.
 */
public final class PerplexityEvaluation {
    private final CausalLm model;
    private final Supplier<SparseKvCache> sparseCaches;
    private final int context;
    private final int chunk;

    /**
     * @param sparseCaches gives an empty sparse cache for each context
     * @param context tokens of a context
     * @param chunk tokens that pass through the model at once; the result does not depend on it
     */
    public PerplexityEvaluation(CausalLm model, Supplier<SparseKvCache> sparseCaches, int context, int chunk) {
        if (context < 2 || chunk < 1) {
            throw new IllegalArgumentException("context " + context + ", chunk " + chunk);
        }
        this.model = model;
        this.sparseCaches = sparseCaches;
        this.context = context;
        this.chunk = chunk;
    }

    /**
     * Evaluates a text.
     *
     * @param ids at least two tokens
     * @param progress told the number of tokens read so far
     */
    public Result run(int[] ids, IntConsumer progress) {
        Totals totals = new Totals();
        for (int from = 0; from < ids.length; from += context) {
            int[] window = Arrays.copyOfRange(ids, from, Math.min(ids.length, from + context));
            int before = from;
            read(window, totals, done -> progress.accept(before + done));
        }
        return totals.result(ids.length);
    }

    private void read(int[] ids, Totals totals, IntConsumer progress) {
        try (DenseKvCache dense = new DenseKvCache(model.config().attentionShape(), ids.length);
                SparseKvCache sparse = sparseCaches.get()) {
            for (int from = 0; from < ids.length; from += chunk) {
                int to = Math.min(ids.length, from + chunk);
                int[] tokens = Arrays.copyOfRange(ids, from, to);
                int[] targets = Arrays.copyOfRange(ids, from + 1, Math.min(ids.length, to + 1));
                try (NDManager scope = Libtorch.newManager()) {
                    long started = System.nanoTime();
                    NDArray reference = model.forward(scope, tokens, dense, false);
                    long middle = System.nanoTime();
                    NDArray candidate = model.forward(scope, tokens, sparse, false);
                    totals.denseNanos += middle - started;
                    totals.sparseNanos += System.nanoTime() - middle;
                    totals.comparison.add(reference, candidate, targets);
                }
                progress.accept(to);
            }
            totals.add(sparse.bytes());
        }
    }

    /**
     * What an evaluation found.
     *
     * @param tokens tokens read
     * @param context tokens of a context
     * @param comparison dense (reference) against sparse (candidate)
     * @param bytes of the sparse cache at the end of each context, summed over the contexts; the dictionaries once
     * @param denseTokensPerSecond reading speed with the dense cache
     * @param sparseTokensPerSecond reading speed with the sparse cache
     */
    public record Result(
            int tokens,
            int context,
            LogitsComparison.Summary comparison,
            CacheBytes bytes,
            double denseTokensPerSecond,
            double sparseTokensPerSecond) {}

    private final class Totals {
        private final LogitsComparison comparison = new LogitsComparison();
        private CacheBytes bytes = new CacheBytes(0, 0, 0, 0, 0, 0, 0, 0, 0);
        private long denseNanos;
        private long sparseNanos;

        void add(CacheBytes more) {
            bytes = bytes.plus(more);
        }

        Result result(int tokens) {
            return new Result(
                    tokens,
                    context,
                    comparison.summary(),
                    bytes,
                    tokens / (denseNanos / 1e9),
                    tokens / (sparseNanos / 1e9));
        }
    }
}
