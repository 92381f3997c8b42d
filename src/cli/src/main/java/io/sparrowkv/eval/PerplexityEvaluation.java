package io.sparrowkv.eval;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.DenseKvCache;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.model.SparseKvCache;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Reads a text with the dense cache and with others at once, and compares what the model predicts: the dense reference is computed
 * once for all of them. The text streams as in generation: chunk by chunk, all layers coded at once, only window and sinks dense. It is
 * cut in contexts of equal length, each read from an empty cache; the first token of a context is not predicted.
 */
public final class PerplexityEvaluation {
    private final CausalLm model;
    private final List<CacheUnderTest> caches;
    private final int context;
    private final int chunk;

    /**
     * @param caches compared with the dense one
     * @param context tokens of a context
     * @param chunk tokens that pass through the model at once; the result does not depend on it
     */
    public PerplexityEvaluation(CausalLm model, List<CacheUnderTest> caches, int context, int chunk) {
        if (context < 2 || chunk < 1) {
            throw new IllegalArgumentException("context " + context + ", chunk " + chunk);
        }
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
            for (int from = 0; from < ids.length; from += chunk) {
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

    /**
     * What an evaluation found of one cache.
     *
     * @param name of the cache
     * @param tokens tokens read
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

        void add(CacheBytes more) {
            bytes = bytes.plus(more);
        }

        Result result(int tokens) {
            return new Result(
                    name,
                    tokens,
                    context,
                    comparison.summary(),
                    errors.relative(),
                    bytes,
                    tokens / (denseNanos / 1e9),
                    tokens / (sparseNanos / 1e9));
        }
    }
}
