package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.eval.LogitsComparison;
import io.sparrowkv.eval.PasskeyEvaluation;
import io.sparrowkv.eval.PerplexityEvaluation;
import io.sparrowkv.report.CodecChart;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A comparison of codecs.
 *
 * @param denseVectorBytes fp16 bytes of the key and the value of one token and KV head
 * @param dense what the dense cache finds of the passkeys; empty when none were asked
 * @param rows in the order of the codecs
 */
record CodecsReport(
        String command,
        String model,
        String text,
        int tokens,
        int context,
        int window,
        int sinks,
        int denseVectorBytes,
        Optional<PasskeyEvaluation.Score> dense,
        List<Row> rows,
        String chart,
        String page)
        implements Report {
    /**
     * One codec.
     *
     * @param vectorBytes coded bytes of the key and the value of one token and KV head, counted
     * @param evaluation predictions, attention outputs and bytes
     * @param passkeys empty when none were asked
     */
    record Row(
            String codec,
            boolean sparse,
            double vectorBytes,
            PerplexityEvaluation.Result evaluation,
            Optional<PasskeyEvaluation.Score> passkeys) {}

    /** The points of the chart. */
    List<CodecChart.Point> points() {
        return rows.stream()
                .map(row -> new CodecChart.Point(
                        row.codec(),
                        row.sparse(),
                        row.vectorBytes(),
                        row.evaluation().comparison().meanKl()))
                .toList();
    }

    /**
     * A part of the report.
     *
     * @param legend what the columns mean
     * @param rows the codecs by falling bytes
     */
    record Table(String legend, List<String> titles, List<List<String>> rows) {}

    /** All of the report but the chart. */
    List<Table> tables() {
        return List.of(costs(), parts(), errors());
    }

    private Table costs() {
        List<String> titles = new ArrayList<>(
                List.of("codec", "bytes", "perplexity", "mean KL", "p99 KL", "same top token", "attention error"));
        if (dense.isPresent()) {
            titles.addAll(List.of("passkeys", "of dense's", "digits"));
        }
        List<String> first = new ArrayList<>(List.of("dense, fp32", "", "", "", "", "", ""));
        first.set(
                2,
                String.format(
                        Locale.ROOT,
                        "%.3f",
                        rows.getFirst().evaluation().comparison().referencePerplexity()));
        dense.ifPresent(score -> addPasskeys(first, score));
        List<List<String>> cells = new ArrayList<>();
        cells.add(first);
        byBytes().forEach(row -> cells.add(costs(row)));
        String legend =
                ("bytes: coded key and value of a token and KV head (dense fp16: %d); attention error: mean over the layers of the"
                                + " squared error of the outputs by their square")
                        .formatted(denseVectorBytes);
        return new Table(legend, titles, cells);
    }

    private List<String> costs(Row row) {
        LogitsComparison.Summary found = row.evaluation().comparison();
        List<String> cells = new ArrayList<>(List.of(
                row.codec(),
                String.format(Locale.ROOT, "%.1f", row.vectorBytes()),
                String.format(Locale.ROOT, "%+.2f%%", 100 * found.perplexityRise()),
                String.format(Locale.ROOT, "%.5f", found.meanKl()),
                String.format(Locale.ROOT, "%.4f", found.p99Kl()),
                Quantities.percent(found.top1Agreement()),
                Quantities.percent(row.evaluation().layerErrors().stream()
                        .mapToDouble(x -> x)
                        .average()
                        .orElseThrow())));
        row.passkeys().ifPresent(score -> addPasskeys(cells, score));
        return cells;
    }

    private Table parts() {
        List<List<String>> cells = byBytes()
                .map(row -> {
                    CacheBytes bytes = row.evaluation().bytes();
                    return List.of(
                            row.codec(),
                            perVector(bytes, bytes.indices()),
                            perVector(bytes, bytes.coefficients()),
                            perVector(bytes, bytes.residuals()),
                            perVector(bytes, bytes.scales()),
                            perVector(bytes, bytes.codes()),
                            Quantities.digits(bytes.perToken(bytes.codes())),
                            Quantities.digits(bytes.perToken(bytes.window())),
                            Quantities.digits(bytes.perToken(bytes.sinks())),
                            Quantities.bytes(bytes.dictionaries()));
                })
                .toList();
        return new Table(
                "bytes by part, of a coded key and value of a token and KV head: indices, coefficients or levels, residuals, scales, all; of a"
                        + " token, all layers, at this context: codes, fp32 window, fp32 sinks; dictionaries are shared by all"
                        + " sequences",
                List.of(
                        "codec",
                        "indices",
                        "coefficients",
                        "residuals",
                        "scales",
                        "all",
                        "codes, a token",
                        "window",
                        "sinks",
                        "dictionaries"),
                cells);
    }

    private static String perVector(CacheBytes bytes, long part) {
        return String.format(Locale.ROOT, "%.1f", bytes.perVector(part));
    }

    private Table errors() {
        List<String> titles = new ArrayList<>(List.of("codec"));
        int layers = rows.getFirst().evaluation().layerErrors().size();
        for (int layer = 0; layer < layers; layer++) {
            titles.add("layer " + layer);
        }
        List<List<String>> cells = byBytes()
                .map(row -> Stream.concat(
                                Stream.of(row.codec()),
                                row.evaluation().layerErrors().stream().map(Quantities::percent))
                        .toList())
                .toList();
        return new Table(
                "attention error by layer; it includes what earlier layers did to a layer's input", titles, cells);
    }

    private Stream<Row> byBytes() {
        return rows.stream().sorted(Comparator.comparingDouble(Row::vectorBytes).reversed());
    }

    private void addPasskeys(List<String> cells, PasskeyEvaluation.Score score) {
        cells.add(score.exact() + "/" + score.cases());
        cells.add(score.exactOfDense() + "/" + dense.orElseThrow().exact());
        cells.add(Quantities.percent(score.digitShare()));
    }

    /** What was read, in one line. */
    String heading() {
        return "%s on %s: %s tokens in contexts of %s, window %d, sinks %d, all layers coded"
                .formatted(model, text, Quantities.count(tokens), Quantities.count(context), window, sinks);
    }

    @Override
    public void print(PrintWriter out) {
        out.println(heading());
        for (Table part : tables()) {
            out.println();
            out.println(part.legend());
            out.println();
            TextTable table = TextTable.columns(part.titles().toArray(String[]::new));
            part.rows().forEach(row -> table.row(row.toArray()));
            table.print(out);
        }
        out.printf("%nchart: %s, page: %s%n", chart, page);
    }
}
