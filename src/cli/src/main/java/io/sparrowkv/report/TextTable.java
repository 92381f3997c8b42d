package io.sparrowkv.report;

import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;

/** A table of text with aligned columns: the first and those named to the left, the others to the right, as numbers stand. */
public final class TextTable {
    private static final String GAP = "  ";

    private final String[] header;
    private final boolean[] left;
    private final List<String[]> rows = new ArrayList<>();

    private TextTable(String[] header) {
        this.header = header;
        this.left = new boolean[header.length];
        this.left[0] = true;
    }

    /** A table with these column titles. */
    public static TextTable columns(String... titles) {
        if (titles.length == 0) {
            throw new IllegalArgumentException("a table has columns");
        }
        return new TextTable(titles.clone());
    }

    /** Aligns these columns, counted from 0, to the left. */
    public TextTable left(int... columns) {
        for (int column : columns) {
            left[column] = true;
        }
        return this;
    }

    /** Adds a row with one cell for each column; {@code null} is an empty cell. */
    public TextTable row(Object... cells) {
        if (cells.length != header.length) {
            throw new IllegalArgumentException(cells.length + " cells in a table of " + header.length + " columns");
        }
        String[] row = new String[cells.length];
        for (int i = 0; i < row.length; i++) {
            row[i] = cells[i] == null ? "" : cells[i].toString();
        }
        rows.add(row);
        return this;
    }

    /** Writes titles, a rule and the rows. */
    public void print(PrintWriter out) {
        int[] widths = new int[header.length];
        measure(widths, header);
        rows.forEach(row -> measure(widths, row));
        out.println(line(widths, header));
        String[] rule = new String[header.length];
        for (int i = 0; i < rule.length; i++) {
            rule[i] = "-".repeat(widths[i]);
        }
        out.println(line(widths, rule));
        rows.forEach(row -> out.println(line(widths, row)));
    }

    private static void measure(int[] widths, String[] cells) {
        for (int i = 0; i < cells.length; i++) {
            widths[i] = Math.max(widths[i], width(cells[i]));
        }
    }

    private String line(int[] widths, String[] cells) {
        StringBuilder line = new StringBuilder();
        for (int i = 0; i < cells.length; i++) {
            String pad = " ".repeat(widths[i] - width(cells[i]));
            line.append(i == 0 ? "" : GAP).append(left[i] ? cells[i] + pad : pad + cells[i]);
        }
        return line.toString().stripTrailing();
    }

    private static int width(String cell) {
        return cell.codePointCount(0, cell.length());
    }
}
