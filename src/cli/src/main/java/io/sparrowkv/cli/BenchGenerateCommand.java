package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.eval.RandomModel;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.generate.Generation;
import io.sparrowkv.llm.generate.GenerationListener;
import io.sparrowkv.llm.generate.GenerationRequest;
import io.sparrowkv.llm.generate.Generator;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.DenseKvCache;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.model.MemoryNeed;
import io.sparrowkv.llm.model.SparseKvCache;
import io.sparrowkv.report.Progress;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.sae.RopeStage;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.Random;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * Measures one generation: its time, the peak memory of the process and the bytes of the cache. The prompt is random tokens: time and
 * memory need no meaning. One process measures one context with one codec, so that the peak is its own.
 */
@Command(
        name = "generate",
        description = "Measure time, peak memory and cache bytes of generation after a long prompt of random tokens.",
        sortOptions = false)
final class BenchGenerateCommand implements Runnable {
    private static final long SEED = 1;

    /** Models that are made up for the measurement. */
    enum Shape {
        /** Mistral-7B's attention on a slim body of two layers. */
        MISTRAL
    }

    @Mixin
    private ModelArguments model;

    @Option(
            names = "--random",
            paramLabel = "SHAPE",
            description = "Measure a model and dictionaries of random weights instead:"
                    + " mistral, Mistral-7B's attention on a slim body of two layers.")
    private Optional<Shape> random = Optional.empty();

    @Option(
            names = "--context",
            paramLabel = "N",
            description = "Tokens of the prompt, whatever the model's limit (default: 2048).")
    private int context = 2048;

    @Option(names = "--new-tokens", paramLabel = "N", description = "Tokens to generate after it (default: 64).")
    private int newTokens = 64;

    @Mixin
    private CacheArguments cache;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--context", context, 1, 1 << 28);
        Check.range("--new-tokens", newTokens, 2, 1 << 20);
        Libtorch.useThreads(cache.threads());
        if (random.isEmpty()) {
            Path folder = model.folder();
            try (CausalLm lm = CausalLm.load(folder)) {
                measure(folder.toString(), lm);
            }
            return;
        }
        try {
            Path folder = Files.createTempDirectory("sparrow-random-model");
            try {
                RandomModel.MISTRAL_ATTENTION.write(folder, SEED);
                try (CausalLm lm = CausalLm.load(folder)) {
                    measure(
                            "random weights, Mistral-7B's attention, "
                                    + lm.config().layers() + " layers",
                            lm);
                }
            } finally {
                RandomModel.delete(folder);
            }
        } catch (IOException e) {
            throw new InvalidInputException(
                    "the folder for temporary files cannot be used (" + e + "); set java.io.tmpdir", e);
        }
    }

    private void measure(String name, CausalLm lm) {
        output.emit(
                switch (cache.codec()) {
                    case CacheCodec.Dense codec -> dense(name, lm);
                    case CacheCodec.Sparse codec -> sparse(name, lm);
                    case CacheCodec.Quantized codec -> quantized(name, lm, codec.quantizers());
                });
    }

    private Result dense(String name, CausalLm lm) {
        try (KvCache dense = new DenseKvCache(lm.config().attentionShape(), context + newTokens)) {
            return result(name, lm, "dense", generate(lm, dense), Optional.empty());
        }
    }

    private Result quantized(String name, CausalLm lm, SiteQuantizers quantizers) {
        try (SparseKvCache quantized = SparseKvCache.quantized(lm, quantizers.codecs(lm), cache.quantizedOptions())) {
            Generation generation = generate(lm, quantized);
            return result(name, lm, quantizers.label(), generation, Optional.of(quantized.bytes()));
        }
    }

    private Result sparse(String name, CausalLm lm) {
        try (SparseCaches caches = random.isPresent()
                ? SparseCaches.of(
                        lm, RandomModel.MISTRAL_ATTENTION.dictionaries(RopeStage.POST, SEED), cache.dictionaries())
                : SparseCaches.open(lm, cache.dictionaries())) {
            CacheOptions options = cache.options(lm, caches.dictionaries());
            try (SparseKvCache sparse = caches.newCache(options)) {
                Generation generation = generate(lm, sparse);
                String codec = "sparse " + BudgetText.of(options);
                return result(name, lm, codec, generation, Optional.of(sparse.bytes()));
            }
        }
    }

    private Generation generate(CausalLm lm, KvCache cache) {
        int[] prompt =
                new Random(SEED).ints(context, 0, lm.config().vocabulary()).toArray();
        GenerationRequest request =
                GenerationRequest.greedy(prompt, newTokens).withStopAtEnd(false).withMaxContext(context + newTokens);
        try (Progress progress = Progress.start("bench generate", context + newTokens, "tokens", output.err())) {
            return new Generator(lm).generate(request, cache, new GenerationListener() {
                @Override
                public void text(String text) {}

                @Override
                public void prefilled(int tokens, int all) {
                    progress.at(tokens, "prompt");
                }

                @Override
                public void generated(int tokens) {
                    progress.at(context + tokens, "decoding");
                }
            });
        }
    }

    private Result result(String name, CausalLm lm, String codec, Generation generation, Optional<CacheBytes> parts) {
        return new Result(
                "bench generate",
                name,
                codec,
                context,
                newTokens,
                generation.secondsToFirstToken(),
                generation.prefillTokensPerSecond(),
                1e3 / generation.decodeTokensPerSecond(),
                MemoryNeed.peak(),
                generation.cacheBytes(),
                lm.config().attentionShape().denseFp16BytesPerToken() * (context + newTokens - 1),
                parts);
    }

    /**
     * What one generation took.
     *
     * @param peakMemory most bytes that the process held in memory, weights and JVM included
     * @param cacheBytes bytes of the cache at the end; the dense cache is kept in fp32
     * @param denseFp16Bytes what a dense fp16 cache would take
     */
    record Result(
            String command,
            String model,
            String codec,
            int context,
            int newTokens,
            double secondsToFirstToken,
            double prefillTokensPerSecond,
            double millisPerToken,
            Optional<Long> peakMemory,
            long cacheBytes,
            long denseFp16Bytes,
            Optional<CacheBytes> parts)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf("%s, %s%n%n", model, codec);
            TextTable.columns(
                            "context",
                            "first token",
                            "prompt tokens/s",
                            "ms a token",
                            "peak memory",
                            "cache",
                            "dense fp16")
                    .row(
                            Quantities.count(context),
                            Quantities.time(Duration.ofMillis(Math.round(1e3 * secondsToFirstToken))),
                            Quantities.digits(prefillTokensPerSecond),
                            Quantities.digits(millisPerToken),
                            peakMemory.map(Quantities::bytes).orElse("unknown"),
                            Quantities.bytes(cacheBytes),
                            Quantities.bytes(denseFp16Bytes))
                    .print(out);
            parts.ifPresent(bytes -> {
                out.println();
                CacheBytesTable.print(bytes, out);
            });
        }
    }
}
