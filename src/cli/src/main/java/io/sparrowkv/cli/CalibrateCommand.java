package io.sparrowkv.cli;

import io.sparrowkv.attention.Budgets;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.attention.CacheProfile;
import io.sparrowkv.attention.CacheProfile.Kept;
import io.sparrowkv.codec.BlockCodec;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.PairFormat;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.eval.BudgetPlan;
import io.sparrowkv.eval.CacheUnderTest;
import io.sparrowkv.eval.PerplexityEvaluation;
import io.sparrowkv.eval.SensitivityFile;
import io.sparrowkv.eval.SiteSensitivity;
import io.sparrowkv.eval.SiteSensitivity.Point;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.report.Progress;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.IntConsumer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Finds the budgets by layer and kind that cost the least in predictions under a number of bytes. */
@Command(
        name = "calibrate",
        description = {
            "Choose budgets by layer and kind under a number of bytes, from what coding each site alone costs in predictions.",
            "What was measured is kept beside the profile: after Ctrl-C, or for other bytes, the next run goes on from it."
        },
        sortOptions = false)
final class CalibrateCommand implements Runnable {
    private static final int DEFAULT_TOKENS = 4096;

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
    private List<Integer> pairs = List.of(2, 4, 8, 12, 16, 24);

    @Option(
            names = "--refine",
            paramLabel = "HOW",
            converter = BudgetArguments.RefinementConverter.class,
            description = "How codes are refined: none, refit or pursuit:C (default: pursuit:64).")
    private Refinement refinement = Refinement.pursuit(64);

    @Option(
            names = "--coefficients",
            paramLabel = "BITS",
            converter = BudgetArguments.CoefficientsConverter.class,
            description = "What coefficients are kept as: fp16, 8, 6 or 4 (default: 4).")
    private Coefficients coefficients = Coefficients.BITS_4;

    @Option(
            names = "--residual",
            paramLabel = "LIST",
            split = ",",
            description = "Bits of each number of what the pairs leave of a vector to choose from, 0 for nothing of it"
                    + " (default: 0,1; 0 with coefficients of fp16).")
    private List<Integer> residualBits = List.of();

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
        if (refinement.bounded()) {
            throw new InvalidInputException(
                    "--refine %s: a profile gives all vectors of a site as many pairs; leave the bound out, such as pursuit:%d"
                            .formatted(refinement.label(), refinement.candidates()));
        }
        List<Integer> budgets = new ArrayList<>(new TreeSet<>(pairs));
        Check.range("--pairs", budgets.getFirst(), 1, Integer.MAX_VALUE);
        List<Kept> kept = choices(budgets);
        OutputPaths.requireWritable(out);
        Libtorch.useThreads(dictionaries.threads());
        try (CausalLm lm = CausalLm.load(model.folder());
                SparseCaches caches = SparseCaches.open(lm, dictionaries)) {
            int length = Math.min(context, model.maxContext(lm.config().maxPositions()));
            int[] ids = EvalTextArguments.ids(lm, text, 2 * tokens);
            CacheOptions options = denseTokens
                    .options(dictionaries.threads())
                    .withRefinement(refinement)
                    .withCoefficients(coefficients);
            options.withBudgets(Budgets.of(budgets.getLast(), budgets.getLast()))
                    .withResidualBits(kept.getLast().residualBits())
                    .validate(lm.config().attentionShape(), caches.dictionaries());
            List<SiteSensitivity> sites = sensitivities(lm, caches, options, kept, Arrays.copyOf(ids, tokens), length);
            plan(lm, caches, options, sites, Arrays.copyOfRange(ids, tokens, 2 * tokens), length);
        }
    }

    /** What is tried at each site: fewest bits of residuals first, then fewest pairs. */
    private List<Kept> choices(List<Integer> budgets) {
        List<Integer> usual = coefficients.scaled() ? List.of(0, 1) : List.of(0);
        TreeSet<Integer> bits = new TreeSet<>(residualBits.isEmpty() ? usual : residualBits);
        Check.range("--residual", bits.getFirst(), 0, PairFormat.MOST_RESIDUAL_BITS);
        Check.range("--residual", bits.getLast(), 0, PairFormat.MOST_RESIDUAL_BITS);
        return bits.stream()
                .flatMap(residual -> budgets.stream().map(budget -> new Kept(budget, residual)))
                .toList();
    }

    private List<SiteSensitivity> sensitivities(
            CausalLm lm, SparseCaches caches, CacheOptions options, List<Kept> kept, int[] ids, int length) {
        Path file = OutputPaths.beside(out, ".measured.json");
        SensitivityFile measured = SensitivityFile.read(file, identity(lm, caches, options, kept, ids, length));
        List<SiteSensitivity> sites = new ArrayList<>(measured.sites());
        int kinds = VectorKind.values().length;
        int count = lm.config().layers() * kinds;
        if (!sites.isEmpty()) {
            output.err().printf("sparrow: %d of %d sites were measured before (%s)%n", sites.size(), count, file);
        }
        try (Progress progress = Progress.start("calibrate", (long) count * ids.length, "tokens", output.err())) {
            progress.resumeAt((long) sites.size() * ids.length);
            for (int i = sites.size(); i < count; i++) {
                Site site = Site.of(i / kinds, VectorKind.values()[i % kinds]);
                long before = (long) i * ids.length;
                sites.add(sensitivity(
                        lm,
                        caches,
                        options,
                        kept,
                        ids,
                        length,
                        site,
                        done -> progress.at(before + done, site.label())));
                new SensitivityFile(measured.identity(), sites).write(file);
            }
        }
        return sites;
    }

    private static SiteSensitivity sensitivity(
            CausalLm lm,
            SparseCaches caches,
            CacheOptions options,
            List<Kept> kept,
            int[] ids,
            int length,
            Site site,
            IntConsumer progress) {
        Budgets dense = Budgets.of(Budgets.DENSE, Budgets.DENSE);
        List<CacheUnderTest> alone = kept.stream()
                .map(choice ->
                        caches.underTest(options.withBudgets(dense.with(site.layer(), site.kind(), choice.pairs()))
                                .withResidualBits(choice.residualBits())))
                .toList();
        List<PerplexityEvaluation.Result> results =
                new PerplexityEvaluation(lm, alone, length, EvalPplCommand.DEFAULT_CHUNK).run(ids, progress);
        List<Point> points = new ArrayList<>();
        for (int i = 0; i < kept.size(); i++) {
            Kept choice = kept.get(i);
            CodeBlockLayout layout = options.withBudgets(dense.with(site.layer(), site.kind(), choice.pairs()))
                    .withResidualBits(choice.residualBits())
                    .layout(lm.config().attentionShape(), caches.dictionaries(), site.layer(), site.kind());
            double bytes = (double) layout.byteSize()
                    / (CodeBlockLayout.TOKENS * lm.config().kvHeads());
            double kl = results.get(i).comparison().meanKl();
            points.add(new Point(choice.pairs(), choice.residualBits(), bytes, kl));
        }
        return new SiteSensitivity(site.layer(), site.kind(), points);
    }

    private void plan(
            CausalLm lm,
            SparseCaches caches,
            CacheOptions options,
            List<SiteSensitivity> sites,
            int[] ids,
            int length) {
        int layers = lm.config().layers();
        BudgetPlan best = BudgetPlan.best(sites, bytes * layers).orElseThrow(() -> tooFew(sites, layers));
        BudgetPlan uniform = BudgetPlan.bestUniform(sites, bytes * layers).orElse(best);
        CacheProfile profile = profile(lm, caches, sites, best);
        CacheProfile even = profile(lm, caches, sites, uniform);
        List<CacheUnderTest> checked = List.of(
                caches.underTest(profile.applyTo(options)),
                caches.underTest(even.applyTo(options)),
                caches.underTest(options.withBudgets(CacheOptions.DEFAULT_BUDGETS)
                        .withRefinement(Refinement.NONE)
                        .withCoefficients(Coefficients.FP16)
                        .withResidualBits(0)));
        List<PerplexityEvaluation.Result> results;
        try (Progress progress = Progress.start("calibrate, check", ids.length, "tokens", output.err())) {
            results = new PerplexityEvaluation(lm, checked, length, EvalPplCommand.DEFAULT_CHUNK)
                    .run(ids, done -> progress.at(done, ""));
        }
        profile.write(out);
        output.emit(new CalibrateReport(
                "calibrate",
                model.folder().toString(),
                text.toString(),
                tokens,
                length,
                options,
                bytes,
                sites,
                sites.stream().map(SiteSensitivity::elbow).toList(),
                new CalibrateReport.Checked(profile, best.kl(), results.get(0)),
                new CalibrateReport.Checked(even, uniform.kl(), results.get(1)),
                results.get(2),
                out.toString()));
    }

    private CacheProfile profile(CausalLm lm, SparseCaches caches, List<SiteSensitivity> sites, BudgetPlan plan) {
        List<Kept> keys = new ArrayList<>();
        List<Kept> values = new ArrayList<>();
        for (int i = 0; i < sites.size(); i++) {
            Point choice = plan.choices().get(i);
            (sites.get(i).kind() == VectorKind.KEY ? keys : values)
                    .add(new Kept(choice.pairs(), choice.residualBits()));
        }
        return new CacheProfile(
                lm.fingerprint(),
                caches.dictionaries().fingerprint(),
                refinement,
                coefficients,
                plan.bytes() / lm.config().layers(),
                keys,
                values);
    }

    /** All that a measurement depends on. */
    private Map<String, String> identity(
            CausalLm lm, SparseCaches caches, CacheOptions options, List<Kept> kept, int[] ids, int length) {
        Map<String, String> identity = new LinkedHashMap<>();
        identity.put("model", lm.fingerprint());
        identity.put("dictionaries", caches.dictionaries().fingerprint());
        PairFormat format = PairFormat.of(coefficients, 0, CacheOptions.mostLatents(caches.dictionaries()));
        identity.put("codec", new BlockCodec(format, refinement).label());
        identity.put("kept", kept.toString());
        identity.put("text", ModelVectorSource.fingerprint(ids, length));
        identity.put("window", Integer.toString(options.window()));
        identity.put("sinks", Integer.toString(options.sinks()));
        return identity;
    }

    private InvalidInputException tooFew(List<SiteSensitivity> sites, int layers) {
        double least = sites.stream()
                .mapToDouble(site -> site.points().getFirst().bytes())
                .sum();
        return new InvalidInputException(
                "--bytes %s: the smallest of --pairs takes %.1f; allow more, or add fewer pairs"
                        .formatted(bytes, least / layers));
    }
}
