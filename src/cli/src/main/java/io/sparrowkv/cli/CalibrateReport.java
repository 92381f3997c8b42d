package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheProfile;
import io.sparrowkv.eval.PerplexityEvaluation;
import io.sparrowkv.eval.SiteSensitivity;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What a calibration measured and chose.
 *
 * @param tokens measured on, and as many checked on
 * @param method what all choices have in common
 * @param bytes allowed for a token and KV head
 * @param forms what the best plan of each kind of choices would give
 * @param chosen the form of which the profile is
 * @param sites of that form: divergence when one site alone is coded
 * @param elbows of the sites, labels
 * @param calibrated the profile
 * @param uniform the best choice that is the same in all layers, under the same bytes
 * @param paper sparse codes of 8/16, not refined, on the same text, beside other codes
 * @param file where the profile was written
 */
record CalibrateReport(
        String command,
        String model,
        String text,
        int tokens,
        int context,
        String method,
        int window,
        int sinks,
        double bytes,
        List<Form> forms,
        String chosen,
        List<SiteSensitivity> sites,
        List<String> elbows,
        Checked calibrated,
        Checked uniform,
        Optional<PerplexityEvaluation.Result> paper,
        String file)
        implements Report {
    /**
     * One kind of choices.
     *
     * @param bytes of the best plan; empty when none keeps to the bytes allowed
     * @param sumOfKl of the sites, each coded alone
     */
    record Form(String name, Optional<Double> bytes, Optional<Double> sumOfKl) {}

    /**
     * A plan and what it does.
     *
     * @param labels of the sites' choices
     * @param sumOfKl of the sites, each coded alone
     * @param evaluation all sites coded, on text that was not measured on
     */
    record Checked(CacheProfile profile, List<String> labels, double sumOfKl, PerplexityEvaluation.Result evaluation) {}

    @Override
    public void print(PrintWriter out) {
        out.printf(
                "%s on %s: %s tokens, %s, window %d, sinks %d%n",
                model, text, Quantities.count(tokens), method, window, sinks);
        if (forms.size() > 1) {
            out.printf("the best plan within %s bytes of each form:%n%n", bytes);
            formTable().print(out);
        }
        out.printf(
                "%nmean KL divergence when one site alone is coded, in millinats, by what is kept (8+1: 8 pairs and a bit of the residual), %s:%n%n",
                chosen);
        siteTable().print(out);
        out.printf("%nall sites coded, on %s tokens that follow:%n%n", Quantities.count(tokens));
        TextTable table =
                TextTable.columns("kept", "bytes", "sum of the sites' KL", "mean KL", "p99 KL", "perplexity", "top-1");
        row(table, "calibrated", calibrated);
        List<String> same = uniform.labels();
        row(table, "same in all layers, " + same.get(0) + "/" + same.get(1), uniform);
        paper.ifPresent(result -> row(table, "paper: 8/16, not refined", "", result));
        table.print(out);
        out.printf("%nprofile: %s (for --profile)%n", file);
    }

    private TextTable formTable() {
        TextTable table = TextTable.columns("form", "bytes", "sum of the sites' KL");
        for (Form form : forms) {
            table.row(
                    form.name(),
                    form.bytes()
                            .map(size -> String.format(Locale.ROOT, "%.1f", size))
                            .orElse("more than allowed"),
                    form.sumOfKl()
                            .map(kl -> String.format(Locale.ROOT, "%.5f", kl))
                            .orElse(""));
        }
        return table;
    }

    private TextTable siteTable() {
        String[] titles = Stream.of(
                        Stream.of("site"),
                        sites.getFirst().points().stream().map(SiteSensitivity.Point::kept),
                        Stream.of("elbow", "chosen"))
                .flatMap(title -> title)
                .toArray(String[]::new);
        TextTable table = TextTable.columns(titles);
        for (int i = 0; i < sites.size(); i++) {
            SiteSensitivity site = sites.get(i);
            List<Object> cells = new ArrayList<>();
            cells.add("layer " + site.layer() + " " + site.kind().label());
            site.points().forEach(point -> cells.add(String.format(Locale.ROOT, "%.3f", 1000 * point.kl())));
            cells.add(elbows.get(i));
            cells.add(calibrated.labels().get(i));
            table.row(cells.toArray());
        }
        return table;
    }

    private static void row(TextTable table, String name, Checked checked) {
        row(table, name, String.format(Locale.ROOT, "%.5f", checked.sumOfKl()), checked.evaluation());
    }

    private static void row(TextTable table, String name, String sum, PerplexityEvaluation.Result result) {
        var found = result.comparison();
        table.row(
                name,
                String.format(Locale.ROOT, "%.1f", result.bytes().perVector()),
                sum,
                String.format(Locale.ROOT, "%.5f", found.meanKl()),
                String.format(Locale.ROOT, "%.4f", found.p99Kl()),
                String.format(Locale.ROOT, "%+.2f%%", 100 * found.perplexityRise()),
                Quantities.percent(found.top1Agreement()));
    }
}
