package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.CacheProfile;
import io.sparrowkv.attention.CodeProfile.Kept;
import io.sparrowkv.codec.PairFormat;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.eval.BudgetPlan;
import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.eval.PerplexityEvaluation;
import io.sparrowkv.eval.SiteSensitivity;
import io.sparrowkv.eval.SiteSensitivity.Point;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.report.Progress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Finds what to keep by layer and kind so that it costs the least in predictions under a number of bytes. */
@Command(
        name = "calibrate",
        description = {
            "Choose pairs and residuals, or quantizers, by layer and kind under a number of bytes, from what coding each site alone costs in predictions.",
            "What was measured is kept beside the profile: after Ctrl-C, or for other bytes, the next run goes on from it."
        },
        sortOptions = false)
final class CalibrateCommand implements Runnable {
    private static final int DEFAULT_TOKENS = 4096;
    private static final List<Integer> DEFAULT_PAIRS = List.of(2, 4, 8, 12, 16, 24);
    private static final Refinement DEFAULT_REFINEMENT = Refinement.pursuit(64);
    private static final List<Coefficients> DEFAULT_COEFFICIENTS = List.of(Coefficients.BITS_4);

    @Mixin
    private ModelArguments model;

    @Option(
            names = "--text",
            paramLabel = "FILE",
            required = true,
            description = "UTF-8 text to measure on, and after that to check on.")
    private Path text;

    @Option(
            names = "--tokens",
            paramLabel = "N",
            description = "Tokens to measure on; as many that follow are the check (default: 4096).")
    private int tokens = DEFAULT_TOKENS;

    @Option(
            names = "--context",
            paramLabel = "N",
            description = "Cut the text in contexts of N tokens (default: 2048, or the model's limit).")
    private int context = EvalTextArguments.DEFAULT_CONTEXT;

    @Option(
            names = "--bytes",
            paramLabel = "N",
            required = true,
            description = "Most coded bytes of a token and KV head, keys and values together, mean of the layers.")
    private double bytes;

    @Option(
            names = "--pairs",
            paramLabel = "LIST",
            split = ",",
            description = "Budgets to choose from (default: 2,4,8,12,16,24).")
    private List<Integer> pairs = List.of();

    @Option(
            names = "--refine",
            paramLabel = "HOW",
            converter = BudgetArguments.RefinementConverter.class,
            description = "How codes are refined: none, refit or pursuit:C (default: pursuit:64).")
    private Optional<Refinement> refinement = Optional.empty();

    @Option(
            names = "--coefficients",
            paramLabel = "LIST",
            split = ",",
            converter = BudgetArguments.CoefficientsConverter.class,
            description = "What coefficients are kept as, the same at all sites, to choose from: fp16, 8, 6, 4; each"
                    + " takes as long to measure again (default: 4).")
    private List<Coefficients> coefficients = List.of();

    @Option(
            names = "--residual",
            paramLabel = "LIST",
            split = ",",
            description = "Bits of each number of what the pairs leave of a vector to choose from, 0 for nothing of it"
                    + " (default: 0,1; 0 with coefficients of fp16).")
    private List<Integer> residualBits = List.of();

    @Option(
            names = "--quantizers",
            paramLabel = "LIST",
            split = ",",
            description = "Choose a quantizer for each site instead of codes, of these: f16, q8_0, q4_0, rotated-4 to"
                    + " rotated-1.")
    private List<String> quantizers = List.of();

    @Mixin
    private DenseTokensArguments denseTokens;

    @Option(
            names = "--out",
            paramLabel = "FILE",
            required = true,
            description = "Where the profile goes; measurements go beside it, to FILE.measured.json.")
    private Path out;

    @Mixin
    private DictionaryArguments dictionaries;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Check.range("--tokens", tokens, 2, Integer.MAX_VALUE / 2);
        Check.range("--context", context, 2, Integer.MAX_VALUE);
        if (!(bytes > 0 && bytes < 1 << 20)) {
            throw new InvalidInputException("--bytes " + bytes + ": must be above 0, such as 68");
        }
        boolean codesAsked =
                refinement.isPresent() || !(pairs.isEmpty() && coefficients.isEmpty() && residualBits.isEmpty());
        if (!quantizers.isEmpty() && codesAsked) {
            throw new InvalidInputException(
                    "--quantizers is given beside --pairs, --refine, --coefficients or --residual, which are for codes; give one or the other");
        }
        if (refinement.filter(Refinement::bounded).isPresent()) {
            throw new InvalidInputException(
                    "--refine %s: a profile gives all vectors of a site as many pairs; leave the bound out, such as pursuit:%d"
                            .formatted(
                                    refinement.get().label(), refinement.get().candidates()));
        }
        OutputPaths.requireWritable(out);
        Libtorch.useThreads(dictionaries.threads());
        CacheOptions options = denseTokens.options(dictionaries.threads());
        try (CausalLm lm = CausalLm.load(model.folder())) {
            int length = Math.min(context, model.maxContext(lm.config().maxPositions()));
            int[] ids = EvalTextArguments.ids(lm, text, 2 * tokens);
            if (quantizers.isEmpty()) {
                try (SparseCaches caches = SparseCaches.open(lm, dictionaries)) {
                    CacheUnderTest paper = caches.underTest(options.withBudgets(CacheOptions.DEFAULT_BUDGETS));
                    calibrate(lm, options, codes(lm, caches, options), Optional.of(paper), ids, length);
                }
            } else {
                List<SiteChoices> choices = List.of(new QuantizerChoices(lm, options, quantizers));
                calibrate(lm, options, choices, Optional.empty(), ids, length);
            }
        }
    }

    /** The choices of codes, for each form of coefficients. */
    private List<SiteChoices> codes(CausalLm lm, SparseCaches caches, CacheOptions options) {
        TreeSet<Integer> budgets = new TreeSet<>(pairs.isEmpty() ? DEFAULT_PAIRS : pairs);
        Check.range("--pairs", budgets.getFirst(), 1, Integer.MAX_VALUE);
        List<SiteChoices> choices = new ArrayList<>();
        for (Coefficients form : new LinkedHashSet<>(coefficients.isEmpty() ? DEFAULT_COEFFICIENTS : coefficients)) {
            List<Integer> usual = form.scaled() ? List.of(0, 1) : List.of(0);
            TreeSet<Integer> bits = new TreeSet<>(residualBits.isEmpty() ? usual : residualBits);
            Check.range("--residual", bits.getFirst(), 0, PairFormat.MOST_RESIDUAL_BITS);
            Check.range("--residual", bits.getLast(), 0, PairFormat.MOST_RESIDUAL_BITS);
            List<Kept> kept = bits.stream()
                    .flatMap(residual -> budgets.stream().map(budget -> new Kept(budget, residual)))
                    .toList();
            CacheOptions refined = options.withRefinement(refinement.orElse(DEFAULT_REFINEMENT))
                    .withCoefficients(form);
            choices.add(new CodeChoices(lm, caches, refined, kept));
        }
        return choices;
    }

    /** One kind of choices, what they cost at each site, and the best plan under the bytes, if any keeps to them. */
    private record Measured(SiteChoices choices, List<SiteSensitivity> sites, Optional<BudgetPlan> best) {
        double kl() {
            return best.map(BudgetPlan::kl).orElse(Double.POSITIVE_INFINITY);
        }

        double leastBytes() {
            return sites.stream()
                    .mapToDouble(site -> site.points().stream()
                            .mapToDouble(Point::bytes)
                            .min()
                            .orElseThrow())
                    .sum();
        }
    }

    private void calibrate(
            CausalLm lm,
            CacheOptions options,
            List<SiteChoices> kinds,
            Optional<CacheUnderTest> paper,
            int[] ids,
            int length) {
        int layers = lm.config().layers();
        SiteMeasurement measurement = new SiteMeasurement(
                lm, Arrays.copyOf(ids, tokens), length, options, OutputPaths.beside(out, ".measured.json"), output);
        List<Measured> measured = new ArrayList<>();
        for (SiteChoices choices : kinds) {
            List<SiteSensitivity> sites = measurement.of(choices);
            measured.add(new Measured(choices, sites, BudgetPlan.best(sites, bytes * layers)));
        }
        Measured chosen =
                measured.stream().min(Comparator.comparingDouble(Measured::kl)).orElseThrow();
        BudgetPlan best = chosen.best().orElseThrow(() -> tooFew(measured, layers));
        BudgetPlan uniform =
                BudgetPlan.bestUniform(chosen.sites(), bytes * layers).orElse(best);
        List<CacheUnderTest> checked = new ArrayList<>();
        checked.add(chosen.choices().planned(best));
        checked.add(chosen.choices().planned(uniform));
        paper.ifPresent(checked::add);
        List<PerplexityEvaluation.Result> results =
                check(lm, checked, Arrays.copyOfRange(ids, tokens, 2 * tokens), length);
        CacheProfile profile = chosen.choices().profile(best);
        profile.write(out);
        Set<String> among = chosen.choices().elbowLabels();
        output.emit(new CalibrateReport(
                "calibrate",
                model.folder().toString(),
                text.toString(),
                tokens,
                length,
                quantizers.isEmpty()
                        ? "refinement " + refinement.orElse(DEFAULT_REFINEMENT).label()
                        : "quantizers",
                options.window(),
                options.sinks(),
                bytes,
                measured.stream()
                        .map(one -> new CalibrateReport.Form(
                                one.choices().name(),
                                one.best().map(plan -> plan.bytes() / layers),
                                one.best().map(BudgetPlan::kl)))
                        .toList(),
                chosen.choices().name(),
                chosen.sites(),
                chosen.sites().stream().map(site -> site.elbow(among)).toList(),
                new CalibrateReport.Checked(profile, labels(best), best.kl(), results.get(0)),
                new CalibrateReport.Checked(
                        chosen.choices().profile(uniform), labels(uniform), uniform.kl(), results.get(1)),
                paper.map(cache -> results.get(2)),
                out.toString()));
    }

    private List<PerplexityEvaluation.Result> check(CausalLm lm, List<CacheUnderTest> caches, int[] ids, int length) {
        try (Progress progress = Progress.start("calibrate, check", ids.length, "tokens", output.err())) {
            return new PerplexityEvaluation(lm, caches, length, EvalPplCommand.DEFAULT_CHUNK)
                    .run(ids, done -> progress.at(done, ""));
        }
    }

    private static List<String> labels(BudgetPlan plan) {
        return plan.choices().values().stream().map(Point::kept).toList();
    }

    private InvalidInputException tooFew(List<Measured> measured, int layers) {
        double least = measured.stream().mapToDouble(Measured::leastBytes).min().orElseThrow();
        return new InvalidInputException(
                "--bytes %s: the smallest of the choices takes %.1f; allow more, or add smaller ones"
                        .formatted(bytes, least / layers));
    }
}
