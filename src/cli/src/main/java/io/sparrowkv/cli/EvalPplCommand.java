package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.eval.PerplexityEvaluation;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.report.Progress;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Reads a text with the dense cache and with the sparse one, and compares what the model predicts. */
@Command(
        name = "ppl",
        description =
                "Compare perplexity and predictions of the dense and the sparse cache, streaming as generation does.",
        sortOptions = false)
final class EvalPplCommand implements Runnable {
    /** Tokens that pass at once, unless said otherwise: more are no faster. */
    static final int DEFAULT_CHUNK = 256;

    @Mixin
    private ModelArguments model;

    @Mixin
    private EvalTextArguments text;

    @Option(
            names = "--chunk",
            paramLabel = "N",
            description =
                    "Tokens that pass through the model at once; the result does not depend on it (default: 256).")
    private int chunk = DEFAULT_CHUNK;

    @Option(
            names = "--unscored",
            paramLabel = "N",
            description = "First tokens of a context that are read but not predicted; what a store knows of them"
                    + " is not read again (default: 1).")
    private int unscored = 1;

    @Mixin
    private ProfileArguments profile;

    @Mixin
    private BudgetArguments budgets;

    @Mixin
    private DictionaryArguments dictionaries;

    @Mixin
    private StoreArguments store;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--chunk", chunk, 1, 1 << 20);
        Libtorch.useThreads(dictionaries.threads());
        Path folder = model.folder();
        try (CausalLm lm = CausalLm.load(folder);
                SparseCaches caches = SparseCaches.open(lm, dictionaries)) {
            int context = text.context(model.maxContext(lm.config().maxPositions()));
            Check.range("--unscored", unscored, 1, context - 1);
            int[] ids = text.ids(lm);
            if (ids.length <= unscored) {
                throw new InvalidInputException("--unscored %d: the text has %d tokens, so that none would be predicted"
                        .formatted(unscored, ids.length));
            }
            CacheOptions options = profile.options(budgets, dictionaries, lm, caches.dictionaries());
            options.validate(lm.config().attentionShape(), caches.dictionaries());
            caches.useStore(store, options);
            PerplexityEvaluation evaluation =
                    new PerplexityEvaluation(lm, List.of(caches.underTest(options)), context, chunk, unscored);
            try (Progress progress = Progress.start("eval ppl", ids.length, "tokens", output.err())) {
                PerplexityEvaluation.Result result =
                        evaluation.run(ids, done -> progress.at(done, "")).getFirst();
                output.emit(new Result(
                        "eval ppl",
                        folder.toString(),
                        text.file().toString(),
                        caches.encoders().name(),
                        options,
                        unscored,
                        result,
                        caches.known()
                                .map(known -> StoreReport.of(
                                        known, result.tokens(), result.restoredTokens(), result.restoredBlocks()))));
            }
        }
    }

    /** The comparison with what it was made of. */
    record Result(
            String command,
            String model,
            String text,
            String encoder,
            CacheOptions options,
            int unscored,
            PerplexityEvaluation.Result evaluation,
            Optional<StoreReport> store)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "%s on %s: %s tokens in contexts of %s%n",
                    model, text, Quantities.count(evaluation.tokens()), Quantities.count(evaluation.context()));
            out.printf(
                    "budgets %s, window %d, sinks %d, encoder %s%n%n",
                    BudgetText.of(options), options.window(), options.sinks(), encoder);
            store.ifPresent(reuse -> reuse.print(out));
            comparison(evaluation).print(out);
            out.println();
            CacheBytesTable.print(evaluation.bytes(), out);
        }
    }

    /** Dense beside sparse, a line for each measure. */
    static TextTable comparison(PerplexityEvaluation.Result evaluation) {
        var found = evaluation.comparison();
        return TextTable.columns("", "dense", "sparse", "")
                .left(3)
                .row(
                        "perplexity",
                        fixed(found.referencePerplexity()),
                        fixed(found.candidatePerplexity()),
                        String.format(Locale.ROOT, "%+.2f%%", 100 * found.perplexityRise()))
                .row("nats a token", precise(found.referenceNll()), precise(found.candidateNll()), "")
                .row("KL divergence, mean", "", precise(found.meanKl()), "nats")
                .row("KL divergence, 99th percentile", "", precise(found.p99Kl()), "nats")
                .row("same likeliest token", "", Quantities.percent(found.top1Agreement()), "")
                .row(
                        "tokens/s",
                        Quantities.count(Math.round(evaluation.denseTokensPerSecond())),
                        Quantities.count(Math.round(evaluation.sparseTokensPerSecond())),
                        "");
    }

    private static String fixed(double value) {
        return String.format(Locale.ROOT, "%.3f", value);
    }

    private static String precise(double value) {
        return String.format(Locale.ROOT, "%.5f", value);
    }
}
