package io.sparrowkv.cli;

import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.train.SiteReport;
import io.sparrowkv.train.SiteReport.Fidelity;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * What a training made.
 *
 * @param out folder of the dictionaries
 * @param seconds of training in this process
 * @param sites measured on vectors kept from training, as the dictionaries were stored
 */
record TrainReport(
        String command,
        String out,
        String fingerprint,
        String model,
        int steps,
        int batch,
        double seconds,
        double vectorsPerSecond,
        String encoder,
        List<SiteReport> sites)
        implements Report {
    /** Name of the report that is left among the dictionaries. */
    static final String FILE = "report.json";

    /** Budgets that the table shows: the paper's for keys and values, and twice that. */
    private static final List<Integer> SHOWN = List.of(8, 16, 32);

    @Override
    public void print(PrintWriter out) {
        List<Integer> budgets = sites.getFirst().fidelity().stream()
                .map(Fidelity::budget)
                .filter(SHOWN::contains)
                .toList();
        List<String> titles = new ArrayList<>(List.of("site", "vectors"));
        budgets.forEach(budget -> titles.addAll(List.of("cosine K=" + budget, "FVU K=" + budget)));
        titles.addAll(List.of("L0", "dead"));
        TextTable table = TextTable.columns(titles.toArray(String[]::new));
        for (SiteReport site : sites) {
            List<Object> cells = new ArrayList<>(List.of(site.site(), Quantities.count(site.vectors())));
            for (Fidelity fidelity : site.fidelity()) {
                if (budgets.contains(fidelity.budget())) {
                    cells.add("%.4f".formatted(fidelity.cosine()));
                    cells.add("%.4f".formatted(fidelity.fvu()));
                }
            }
            cells.add(Quantities.digits(site.l0()));
            cells.add(Quantities.percent(site.deadShare()));
            table.row(cells.toArray());
        }
        table.print(out);
        out.printf(
                "%n%s steps of %s vectors a site in %s, %s, encoder %s%n%s: fingerprint %s%n",
                Quantities.count(steps),
                Quantities.count(batch),
                Quantities.time(Duration.ofNanos((long) (seconds * 1e9))),
                Quantities.rate(vectorsPerSecond, "vectors"),
                encoder,
                this.out,
                fingerprint);
    }
}
