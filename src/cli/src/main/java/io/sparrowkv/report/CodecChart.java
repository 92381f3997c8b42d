package io.sparrowkv.report;

import io.sparrowkv.io.AtomicFile;
import java.awt.Color;
import java.awt.Font;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.Marker;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** Divergence over bytes, both logarithmic, a mark for each codec: lower and further left is better. Drawn without a display. */
public final class CodecChart {
    private static final int WIDTH = 1100;
    private static final int HEIGHT = 680;

    /** Where there is no divergence at all a logarithm has no place. */
    private static final double LEAST = 1e-7;

    /** Okabe–Ito colours: told apart by colour-blind readers too. */
    private static final Color[] COLOURS = {
        new Color(0x0072B2),
        new Color(0xD55E00),
        new Color(0x009E73),
        new Color(0xCC79A7),
        new Color(0xE69F00),
        new Color(0x56B4E9),
        new Color(0x000000)
    };

    private CodecChart() {}

    /**
     * One codec.
     *
     * @param sparse whether it is one of ours, marked by a diamond; others are circles
     * @param bytes of a token and KV head
     * @param divergence mean KL from the dense model, nats
     */
    public record Point(String name, boolean sparse, double bytes, double divergence) {}

    /** Draws the chart. */
    public static byte[] png(List<Point> points) {
        System.setProperty("java.awt.headless", "true");
        XYChart chart = new XYChartBuilder()
                .width(WIDTH)
                .height(HEIGHT)
                .title("What codecs cost in predictions, by their size")
                .xAxisTitle("bytes of a token and KV head, keys and values")
                .yAxisTitle("mean KL divergence from the dense model, nats")
                .build();
        chart.getStyler().setXAxisLogarithmic(true).setYAxisLogarithmic(true);
        chart.getStyler().setLegendPosition(Styler.LegendPosition.OutsideE);
        chart.getStyler().setChartBackgroundColor(Color.WHITE);
        chart.getStyler().setChartTitleFont(new Font(Font.SANS_SERIF, Font.BOLD, 16));
        chart.getStyler().setDefaultSeriesRenderStyle(XYSeries.XYSeriesRenderStyle.Scatter);
        chart.getStyler().setMarkerSize(11);
        int next = 0;
        for (Point point : points) {
            double[] x = {point.bytes()};
            double[] y = {Math.max(LEAST, point.divergence())};
            XYSeries series = chart.addSeries(point.name(), x, y);
            Marker marker = point.sparse() ? SeriesMarkers.DIAMOND : SeriesMarkers.CIRCLE;
            series.setMarker(marker);
            series.setMarkerColor(COLOURS[next++ % COLOURS.length]);
        }
        try {
            return BitmapEncoder.getBitmapBytes(chart, BitmapEncoder.BitmapFormat.PNG);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Moves a drawn chart into place. */
    public static void write(byte[] png, Path file) {
        AtomicFile.write(file, png);
    }
}
