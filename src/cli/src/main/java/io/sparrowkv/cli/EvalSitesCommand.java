package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.eval.VectorFidelity;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.Libtorch;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.train.SiteReport;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Measures each dictionary of a set on the keys or values of a text. */
@Command(
        name = "sites",
        description =
                "Measure how well each site's dictionary codes the keys or values of a text, at budgets from 1 to 128.",
        sortOptions = false)
final class EvalSitesCommand implements Runnable {
    @Mixin
    private ModelArguments model;

    @Mixin
    private EvalTextArguments text;

    @Mixin
    private DictionaryArguments dictionaries;

    @Option(
            names = "--density-budget",
            paramLabel = "K",
            description = "Budget at which firing latents are counted (default: 16).")
    private int densityBudget = CacheOptions.DEFAULT_BUDGETS.value();

    @Option(
            names = "--refine",
            paramLabel = "HOW",
            converter = BudgetArguments.RefinementConverter.class,
            description = "Refine the codes: none, refit or pursuit:C[:E] (default: none).")
    private Refinement refinement = Refinement.NONE;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Libtorch.useThreads(dictionaries.threads());
        Path folder = model.folder();
        try (CausalLm lm = CausalLm.load(folder);
                SparseCaches caches = SparseCaches.open(lm, dictionaries)) {
            int context = text.context(model.maxContext(lm.config().maxPositions()));
            try (var source = new ModelVectorSource(lm, text.ids(lm), context)) {
                output.emit(new Result(
                        "eval sites",
                        folder.toString(),
                        text.file().toString(),
                        VectorFidelity.measure(
                                source,
                                caches.dictionaries(),
                                densityBudget,
                                refinement,
                                caches.encoders(),
                                dictionaries.threads())));
            }
        }
    }

    /** A report for each site. */
    record Result(String command, String model, String text, List<SiteReport> sites) implements Report {
        @Override
        public void print(PrintWriter out) {
            TextTable table = TextTable.columns(
                    "site", "rope", "vectors", "cos K=4", "K=8", "K=16", "K=32", "FVU K=4", "K=8", "K=16", "K=32",
                    "dead");
            for (SiteReport site : sites) {
                table.row(
                        site.site(),
                        site.rope(),
                        Quantities.count(site.vectors()),
                        cosine(site, 4),
                        cosine(site, 8),
                        cosine(site, 16),
                        cosine(site, 32),
                        fvu(site, 4),
                        fvu(site, 8),
                        fvu(site, 16),
                        fvu(site, 32),
                        Quantities.percent(site.deadShare()));
            }
            table.print(out);
        }

        private static String cosine(SiteReport site, int budget) {
            return at(site, budget).map(f -> fixed(f.cosine())).orElse(null);
        }

        private static String fvu(SiteReport site, int budget) {
            return at(site, budget).map(f -> fixed(f.fvu())).orElse(null);
        }

        private static java.util.Optional<SiteReport.Fidelity> at(SiteReport site, int budget) {
            return site.fidelity().stream().filter(f -> f.budget() == budget).findFirst();
        }

        private static String fixed(double value) {
            return String.format(Locale.ROOT, "%.3f", value);
        }
    }
}
