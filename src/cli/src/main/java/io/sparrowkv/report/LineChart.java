package io.sparrowkv.report;

import io.sparrowkv.io.AtomicFile;
import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Lines over a doubling x axis (1, 2, 4, 8, …), drawn as a PNG without a display. */
public final class LineChart {
    private static final int WIDTH = 960;
    private static final int HEIGHT = 600;
    /** Okabe–Ito colours: told apart by colour-blind readers too. */
    private static final Color[] COLOURS = {
        new Color(0x0072B2), new Color(0xD55E00), new Color(0x009E73), new Color(0xCC79A7)
    };

    private LineChart() {}

    /**
     * Draws the chart and moves it into place.
     *
     * @param x positions, each a power of two
     * @param lines name to values, as long as {@code x}
     * @param file the PNG to write
     */
    public static void write(
            String title, String xTitle, String yTitle, List<Integer> x, Map<String, double[]> lines, Path file) {
        System.setProperty("java.awt.headless", "true");
        XYChart chart = new XYChartBuilder()
                .width(WIDTH)
                .height(HEIGHT)
                .title(title)
                .xAxisTitle(xTitle)
                .yAxisTitle(yTitle)
                .build();
        Styler styler = chart.getStyler();
        styler.setLegendPosition(Styler.LegendPosition.InsideSE);
        styler.setChartBackgroundColor(Color.WHITE);
        styler.setChartTitleFont(new Font(Font.SANS_SERIF, Font.BOLD, 16));
        chart.getStyler().setYAxisMin(0.0).setYAxisMax(1.0);
        chart.getStyler()
                .setxAxisTickLabelsFormattingFunction(doublings -> Long.toString(Math.round(Math.pow(2, doublings))));
        chart.getStyler().setXAxisMaxLabelCount(x.size());
        chart.getStyler().setXAxisMin(log2(x.getFirst())).setXAxisMax(log2(x.getLast()));
        double[] doublings = x.stream().mapToDouble(LineChart::log2).toArray();
        int line = 0;
        for (Map.Entry<String, double[]> entry : lines.entrySet()) {
            Color colour = COLOURS[line++ % COLOURS.length];
            XYSeries series = chart.addSeries(entry.getKey(), doublings, entry.getValue());
            series.setMarkerColor(colour);
            series.setMarker(SeriesMarkers.CIRCLE);
            series.setLineColor(colour);
            series.setLineStyle(new BasicStroke(2.5f));
        }
        try {
            AtomicFile.write(file, BitmapEncoder.getBitmapBytes(chart, BitmapEncoder.BitmapFormat.PNG));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static double log2(int x) {
        return Math.log(x) / Math.log(2);
    }
}
