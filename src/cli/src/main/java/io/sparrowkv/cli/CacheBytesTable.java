package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheBytes;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.TextTable;
import java.io.PrintWriter;
import java.util.Locale;

/** The bytes of a cache of codes or quantized vectors by part, beside those of a dense fp16 cache. */
final class CacheBytesTable {
    private CacheBytesTable() {}

    static void print(CacheBytes bytes, PrintWriter out) {
        TextTable table = TextTable.columns("stored", "bytes", "a token");
        row(table, "key codes, indices", bytes.keyIndices(), bytes);
        row(table, "key codes, coefficients", bytes.keyCoefficients(), bytes);
        row(table, "key codes, residuals", bytes.keyResiduals(), bytes);
        row(table, "key codes, scales", bytes.keyScales(), bytes);
        row(table, "value codes, indices", bytes.valueIndices(), bytes);
        row(table, "value codes, coefficients", bytes.valueCoefficients(), bytes);
        row(table, "value codes, residuals", bytes.valueResiduals(), bytes);
        row(table, "value codes, scales", bytes.valueScales(), bytes);
        row(table, "window, fp32", bytes.window(), bytes);
        row(table, "sinks, fp32", bytes.sinks(), bytes);
        row(table, "whole cache", bytes.total(), bytes);
        row(table, "dense fp16 cache", bytes.denseFp16(), bytes);
        table.print(out);
        out.printf(
                Locale.ROOT,
                "dense fp16 / this cache: %.2f; dictionaries, shared by all sequences: %s%n",
                bytes.ratio(),
                Quantities.bytes(bytes.dictionaries()));
    }

    private static void row(TextTable table, String part, long count, CacheBytes bytes) {
        table.row(part, Quantities.count(count), Quantities.digits(bytes.perToken(count)));
    }
}
