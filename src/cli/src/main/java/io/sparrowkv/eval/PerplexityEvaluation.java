package io.sparrowkv.eval;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.DenseKvCache;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.model.SparseKvCache;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Reads a text with the dense cache and with others at once, and compares what the model predicts: the dense reference is computed
 * once for all of them. The text streams as in generation: chunk by chunk, all layers coded at once, only window and sinks dense. It is
 * cut in contexts of equal length, each read from an empty cache; the first token of a context is not predicted, and more of them may
 * be left out, whose codes a cache may then have from a store.
 */
public final class PerplexityEvaluation {
    private final CausalLm model;
    private final List<CacheUnderTest> caches;
    private final int context;
    private final int chunk;
    private final int unscored;

    /**
     * @param caches compared with the dense one
     * @param context tokens of a context
     * @param chunk tokens that pass through the model at once; the result does not depend on it
     */
    public PerplexityEvaluation(CausalLm model, List<CacheUnderTest> caches, int context, int chunk) {
        this(model, caches, context, chunk, 1);
    }

    /** @param unscored first tokens of a context that are not predicted, fewer than it has; at least 1 */
    public PerplexityEvaluation(CausalLm model, List<CacheUnderTest> caches, int context, int chunk, int unscored) {
        if (context < 2 || chunk < 1 || unscored < 1 || unscored >= context) {
            throw new IllegalArgumentException("context %d, chunk %d, unscored %d".formatted(context, chunk, unscored));
        }
        this.unscored = unscored;
        this.model = model;
        this.caches = List.copyOf(caches);
        this.context = context;
        this.chunk = chunk;
    }

    /**
     * Evaluates a text.
     *
     * @param ids at least two tokens
     * @param progress told the number of tokens read so far
     * @return a result for each cache, in their order
     */
    public List<Result> run(int[] ids, IntConsumer progress) {
        List<Totals> totals = caches.stream().map(Totals::new).toList();
        for (int from = 0; from < ids.length; from += context) {
            int[] window = Arrays.copyOfRange(ids, from, Math.min(ids.length, from + context));
            int before = from;
            if (window.length <= unscored) {
                progress.accept(ids.length);
                break; // too short to predict anything
            }
            read(window, totals, done -> progress.accept(before + done));
        }
        return totals.stream().map(total -> total.result(ids.length)).toList();
    }

    private void read(int[] ids, List<Totals> totals, IntConsumer progress) {
        LayerOutputs outputs = new LayerOutputs(model.config().layers());
        List<SparseKvCache> opened = new ArrayList<>();
        try (DenseKvCache dense = new DenseKvCache(model.config().attentionShape(), ids.length)) {
            for (CacheUnderTest cache : caches) {
                opened.add(cache.open().get());
            }
            int given = unscored - 1; // the logits after the next token are the first that count
            readGiven(ids, 0, given, dense);
            for (int i = 0; i < opened.size(); i++) {
                SparseKvCache cache = opened.get(i);
                long started = System.nanoTime();
                int restored = cache.restore(ids, given);
                readGiven(ids, restored, given, cache);
                totals.get(i).sparseNanos += System.nanoTime() - started;
                totals.get(i).restored(restored, cache.restoredBlocks());
            }
            for (int from = given; from < ids.length; from += chunk) {
                int to = Math.min(ids.length, from + chunk);
                int[] tokens = Arrays.copyOfRange(ids, from, to);
                int[] targets = Arrays.copyOfRange(ids, from + 1, Math.min(ids.length, to + 1));
                try (NDManager scope = Libtorch.newManager()) {
                    long started = System.nanoTime();
                    NDArray reference = model.forward(scope, tokens, outputs.recording(dense), false);
                    long denseNanos = System.nanoTime() - started;
                    for (int i = 0; i < opened.size(); i++) {
                        totals.get(i).denseNanos += denseNanos;
                        totals.get(i).read(scope, tokens, targets, reference, opened.get(i), outputs);
                    }
                }
                progress.accept(to);
            }
            for (int i = 0; i < opened.size(); i++) {
                totals.get(i).add(opened.get(i).bytes());
            }
        } finally {
            opened.forEach(SparseKvCache::close);
        }
    }

    private void readGiven(int[] ids, int start, int given, KvCache cache) {
        for (int from = start; from < given; from += chunk) {
            model.read(Arrays.copyOfRange(ids, from, Math.min(given, from + chunk)), cache);
        }
    }

    /**
     * What an evaluation found of one cache.
     *
     * @param name of the cache
     * @param tokens tokens of the text
     * @param restoredTokens those that the cache had from a store, and that were not read
     * @param restoredBlocks blocks of tokens that came from the store
     * @param context tokens of a context
     * @param comparison dense (reference) against the cache (candidate)
     * @param layerErrors squared error of each layer's attention outputs by the square of the dense ones; what earlier layers did
     *     to a layer's input is part of it
     * @param bytes of the cache at the end of each context, summed over the contexts; the dictionaries once
     * @param denseTokensPerSecond reading speed with the dense cache
     * @param sparseTokensPerSecond reading speed with this cache
     */
    public record Result(
            String name,
            int tokens,
            long restoredTokens,
            long restoredBlocks,
            int context,
            LogitsComparison.Summary comparison,
            List<Double> layerErrors,
            CacheBytes bytes,
            double denseTokensPerSecond,
            double sparseTokensPerSecond) {}

    private final class Totals {
        private final String name;
        private final LogitsComparison comparison = new LogitsComparison();
        private final LayerOutputs.Errors errors =
                new LayerOutputs.Errors(model.config().layers());
        private CacheBytes bytes = CacheBytes.NONE;
        private long denseNanos;
        private long sparseNanos;
        private long restoredTokens;
        private long restoredBlocks;

        Totals(CacheUnderTest cache) {
            name = cache.name();
        }

        void read(
                NDManager scope,
                int[] tokens,
                int[] targets,
                NDArray reference,
                SparseKvCache cache,
                LayerOutputs outputs) {
            long started = System.nanoTime();
            try (NDArray candidate = model.forward(scope, tokens, outputs.comparing(cache, errors), false)) {
                sparseNanos += System.nanoTime() - started;
                comparison.add(reference, candidate, targets);
            }
        }

        void restored(int tokens, int blocks) {
            restoredTokens += tokens;
            restoredBlocks += blocks;
        }

        void add(CacheBytes more) {
            bytes = bytes.plus(more);
        }

        Result result(int tokens) {
            return new Result(
                    name,
                    tokens,
                    restoredTokens,
                    restoredBlocks,
                    context,
                    comparison.summary(),
                    errors.relative(),
                    bytes,
                    tokens / (denseNanos / 1e9),
                    (tokens - restoredTokens) / (sparseNanos / 1e9));
        }
    }
}
