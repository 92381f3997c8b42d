package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
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
import java.util.stream.Stream;

/**
 * What a calibration measured and chose.
 *
 * @param tokens measured on, and as many checked on
 * @param options window, sinks and refinement of all caches
 * @param bytes allowed for a token and KV head
 * @param sites divergence when one site alone is coded
 * @param elbows of the sites, in pairs
 * @param calibrated the profile
 * @param uniform the best budgets that are the same in all layers, under the same bytes
 * @param paper 8/16, not refined, on the same text
 * @param file where the profile was written
 */
record CalibrateReport(
        String command,
        String model,
        String text,
        int tokens,
        int context,
        CacheOptions options,
        double bytes,
        List<SiteSensitivity> sites,
        List<Integer> elbows,
        Checked calibrated,
        Checked uniform,
        PerplexityEvaluation.Result paper,
        String file)
        implements Report {
    /**
     * A plan and what it does.
     *
     * @param sumOfKl of the sites, each coded alone
     * @param evaluation all sites coded, on text that was not measured on
     */
    record Checked(CacheProfile profile, double sumOfKl, PerplexityEvaluation.Result evaluation) {}

    @Override
    public void print(PrintWriter out) {
        out.printf(
                "%s on %s: %s tokens, refinement %s, window %d, sinks %d%n",
                model, text, Quantities.count(tokens), options.refinement().label(), options.window(), options.sinks());
        out.printf(
                "mean KL divergence when one site alone is coded, in millinats, by pairs (and bits of the residual):%n%n");
        sensitivities().print(out);
        out.printf("%nall sites coded, on %s tokens that follow:%n%n", Quantities.count(tokens));
        TextTable table = TextTable.columns(
                "budgets", "bytes", "sum of the sites' KL", "mean KL", "p99 KL", "perplexity", "top-1");
        row(table, "calibrated", calibrated);
        row(table, "same in all layers, " + budgets(uniform), uniform);
        row(table, "paper: 8/16, not refined", "", paper);
        table.print(out);
        out.printf("%nprofile: %s (for --profile)%n", file);
    }

    private TextTable sensitivities() {
        List<SiteSensitivity.Point> points = sites.getFirst().points();
        String[] titles = Stream.concat(
                        Stream.of("site"),
                        Stream.concat(
                                points.stream().map(point -> text(point.pairs(), point.residualBits())),
                                Stream.of("elbow", "chosen")))
                .toArray(String[]::new);
        TextTable table = TextTable.columns(titles);
        for (int i = 0; i < sites.size(); i++) {
            SiteSensitivity site = sites.get(i);
            List<Object> cells = new ArrayList<>();
            cells.add("layer " + site.layer() + " " + site.kind().label());
            site.points().forEach(point -> cells.add(String.format(Locale.ROOT, "%.3f", 1000 * point.kl())));
            cells.add(elbows.get(i));
            cells.add(chosen(site));
            table.row(cells.toArray());
        }
        return table;
    }

    private String chosen(SiteSensitivity site) {
        CacheProfile profile = calibrated.profile();
        return text(
                switch (site.kind()) {
                    case KEY -> profile.keys().get(site.layer());
                    case VALUE -> profile.values().get(site.layer());
                });
    }

    private static String budgets(Checked checked) {
        return text(checked.profile().keys().getFirst()) + "/"
                + text(checked.profile().values().getFirst());
    }

    private static String text(CacheProfile.Kept kept) {
        return text(kept.pairs(), kept.residualBits());
    }

    /** Pairs, and bits of the residual if it is kept: {@code 8+1}. */
    private static String text(int pairs, int residualBits) {
        return residualBits == 0 ? Integer.toString(pairs) : pairs + "+" + residualBits;
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
