package io.sparrowkv.cli;

import io.sparrowkv.io.AtomicFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;

/** A comparison of codecs as one HTML file that needs no other. */
final class CodecsPage {
    private static final String STYLE = """
            body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
            table { border-collapse: collapse; font-variant-numeric: tabular-nums }
            th, td { text-align: right; padding: .25rem .8rem; border-bottom: 1px solid #ddd }
            th:first-child, td:first-child { text-align: left; font-family: ui-monospace, monospace }
            img { max-width: 100% }
            """;

    private CodecsPage() {}

    /** Writes the page. @param png the chart */
    static void write(CodecsReport report, byte[] png, Path file) {
        StringBuilder html = new StringBuilder("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
        html.append("<title>Codecs compared</title>\n<style>\n").append(STYLE).append("</style>\n");
        html.append("<h1>Codecs compared</h1>\n<p>").append(escape(report.heading()));
        html.append(
                "</p>\n<p><img alt=\"Mean KL divergence over bytes, both logarithmic\" src=\"data:image/png;base64,");
        html.append(Base64.getEncoder().encodeToString(png)).append("\"></p>\n");
        report.tables().forEach(table -> table(html, table));
        html.append("</html>\n");
        AtomicFile.write(file, html.toString().getBytes(StandardCharsets.UTF_8));
    }

    private static void table(StringBuilder html, CodecsReport.Table table) {
        html.append("<p>").append(escape(table.legend())).append("</p>\n<table>\n<tr>");
        table.titles().forEach(title -> cell(html, "th", title));
        html.append("</tr>\n");
        for (List<String> row : table.rows()) {
            html.append("<tr>");
            row.forEach(text -> cell(html, "td", text));
            html.append("</tr>\n");
        }
        html.append("</table>\n");
    }

    private static void cell(StringBuilder html, String tag, String text) {
        html.append('<').append(tag).append('>').append(escape(text));
        html.append("</").append(tag).append('>');
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
    }
}
