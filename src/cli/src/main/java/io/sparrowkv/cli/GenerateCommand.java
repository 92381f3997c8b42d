package io.sparrowkv.cli;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.WarmUp;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.generate.Generation;
import io.sparrowkv.llm.generate.GenerationListener;
import io.sparrowkv.llm.generate.GenerationRequest;
import io.sparrowkv.llm.generate.Generator;
import io.sparrowkv.llm.generate.Sampling;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.DenseKvCache;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.llm.model.MemoryNeed;
import io.sparrowkv.llm.model.ModelConfig;
import io.sparrowkv.llm.model.SparseKvCache;
import io.sparrowkv.llm.tokenizer.TextTokenizer;
import io.sparrowkv.report.Progress;
import io.sparrowkv.sae.Site;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Continues a prompt with a cache of one codec. */
@Command(
        name = "generate",
        description = "Continue a prompt: text on stdout as it comes, a report on stderr at the end.",
        sortOptions = false)
final class GenerateCommand implements Runnable {
    @Mixin
    private ModelArguments model;

    @Mixin
    private PromptArguments prompt;

    @Option(
            names = "--max-tokens",
            paramLabel = "N",
            defaultValue = "128",
            description = "Most tokens to generate (default: 128).")
    private int maxTokens;

    @Option(
            names = "--temperature",
            paramLabel = "T",
            defaultValue = "0",
            description = "0 takes the likeliest token; above, tokens are drawn (default: 0).")
    private double temperature;

    @Option(
            names = "--top-k",
            paramLabel = "K",
            defaultValue = "0",
            description = "Draw from the K likeliest, 0 from all (default: 0).")
    private int topK;

    @Option(
            names = "--top-p",
            paramLabel = "P",
            defaultValue = "1",
            description = "Draw from the likeliest that together reach P (default: 1).")
    private double topP;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "0", description = "Seed of the draws (default: 0).")
    private long seed;

    @Option(names = "--stop", paramLabel = "TEXT", description = "End before this text; may be repeated.")
    private List<String> stops = List.of();

    @Option(
            names = "--prefill-chunk",
            paramLabel = "N",
            description = "Tokens of the prompt read at once (default: 512); changes speed and memory, not the result.")
    private int prefillChunk = GenerationRequest.DEFAULT_PREFILL_CHUNK;

    @Mixin
    private CacheArguments cache;

    @Mixin
    private StoreArguments store;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--max-tokens", maxTokens, 1, Integer.MAX_VALUE);
        Check.range("--prefill-chunk", prefillChunk, 1, Integer.MAX_VALUE);
        CacheCodec codec = cache.codec();
        boolean sparse = codec instanceof CacheCodec.Sparse;
        if (store.given() && !sparse) {
            throw new InvalidInputException("--store keeps codes, and %s makes none; leave one of them out"
                    .formatted(cache.codecOption(codec)));
        }
        Sampling sampling = new Sampling(temperature, topK, topP, seed);
        Path folder = model.folder();
        StartTimes.Clock clock = new StartTimes.Clock();
        Optional<WarmUp> warmUp =
                sparse ? Optional.of(WarmUp.start(ModelConfig.read(folder).attentionShape())) : Optional.empty();
        try {
            generate(folder, codec, sampling, clock, warmUp);
        } finally {
            warmUp.ifPresent(WarmUp::close);
        }
    }

    private void generate(
            Path folder, CacheCodec codec, Sampling sampling, StartTimes.Clock clock, Optional<WarmUp> warmUp) {
        Libtorch.useThreads(cache.threads());
        try (CausalLm lm = CausalLm.load(folder);
                TextTokenizer tokenizer = TextTokenizer.load(folder, lm.config().vocabulary())) {
            clock.modelLoaded();
            GenerationRequest request = new GenerationRequest(
                    tokenizer.encode(prompt.text(), true),
                    maxTokens,
                    sampling,
                    stops,
                    true,
                    model.maxContext(lm.config().maxPositions()),
                    prefillChunk);
            Generator.requireContext(lm, request);
            Generator generator = new Generator(lm, tokenizer);
            GenerateReport report = switch (codec) {
                case CacheCodec.Dense dense -> dense(lm, generator, request, clock);
                case CacheCodec.Sparse sparse -> sparse(lm, generator, request, clock, warmUp);
                case CacheCodec.Quantized own -> quantized(lm, own.quantizers(), generator, request, clock);
            };
            if (output.json()) {
                output.emit(report);
            } else {
                output.out().println();
                output.out().flush();
                output.err().println();
                report.print(output.err());
                output.err().flush();
            }
        }
    }

    private GenerateReport dense(CausalLm lm, Generator generator, GenerationRequest request, StartTimes.Clock clock) {
        int tokens = request.contextTokens();
        MemoryNeed.require(
                "a dense cache of " + tokens + " tokens",
                DenseKvCache.bytesNeeded(lm.config().attentionShape(), tokens),
                "use a shorter context or --codec sparse");
        try (DenseKvCache dense = new DenseKvCache(lm.config().attentionShape(), tokens)) {
            StartTimes times = clock.cacheMade();
            Generation generation = generate(generator, request, dense);
            return GenerateReport.dense(lm, times, generation, dense.length());
        }
    }

    private GenerateReport sparse(
            CausalLm lm,
            Generator generator,
            GenerationRequest request,
            StartTimes.Clock clock,
            Optional<WarmUp> warmUp) {
        try (SparseCaches caches = SparseCaches.open(lm, cache.dictionaries())) {
            clock.dictionariesRead();
            CacheOptions options = cache.options(lm, caches.dictionaries());
            AttentionShape shape = lm.config().attentionShape();
            options.validate(shape, caches.dictionaries());
            CacheMemory.require(shape, options, caches.dictionaries(), request.contextTokens());
            caches.useStore(store, options);
            try (SparseKvCache sparse = caches.newCache(options)) {
                warmUp.ifPresent(WarmUp::close);
                StartTimes times = clock.cacheMade();
                Generation generation = generate(generator, request, sparse);
                Optional<StoreReport> reuse = caches.known()
                        .map(known -> StoreReport.of(
                                known, generation.promptTokens(), generation.reusedTokens(), sparse.restoredBlocks()));
                return GenerateReport.sparse(lm, times, generation, sparse.bytes(), caches.encoders(), reuse);
            }
        }
    }

    private GenerateReport quantized(
            CausalLm lm,
            SiteQuantizers quantizers,
            Generator generator,
            GenerationRequest request,
            StartTimes.Clock clock) {
        CacheOptions options = cache.quantizedOptions();
        Map<Site, VectorCodec> codecs = quantizers.codecs(lm);
        CacheMemory.require(lm.config().attentionShape(), options, codecs, request.contextTokens());
        try (SparseKvCache quantized = SparseKvCache.quantized(lm, codecs, options)) {
            StartTimes times = clock.cacheMade();
            Generation generation = generate(generator, request, quantized);
            return GenerateReport.quantized(lm, times, generation, quantized.bytes(), quantizers.label());
        }
    }

    private Generation generate(Generator generator, GenerationRequest request, KvCache kvCache) {
        boolean silent = output.json();
        try (Progress progress = Progress.start("prompt", request.prompt().length, "tokens", output.err())) {
            return generator.generate(request, kvCache, new GenerationListener() {
                @Override
                public void text(String text) {
                    if (!silent) {
                        output.out().print(text);
                        output.out().flush();
                    }
                }

                @Override
                public void prefilled(int tokens, int all) {
                    progress.at(tokens, "");
                    if (tokens == all) {
                        progress.close();
                    }
                }
            });
        }
    }
}
