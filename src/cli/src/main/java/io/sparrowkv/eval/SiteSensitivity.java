package io.sparrowkv.eval;

import io.sparrowkv.sae.VectorKind;
import java.util.List;

/**
 * What coding one site alone costs in predictions, at each budget.
 *
 * @param layer the decoder layer
 * @param kind its keys or its values
 * @param points ascending in bits of residuals, and then in pairs
 */
public record SiteSensitivity(int layer, VectorKind kind, List<Point> points) {
    /**
     * One budget.
     *
     * @param pairs of a code
     * @param residualBits bits of each number of what the pairs leave
     * @param bytes of a code
     * @param kl mean divergence of the predictions from the dense cache's, in nats
     */
    public record Point(int pairs, int residualBits, double bytes, double kl) {}

    public SiteSensitivity {
        points = List.copyOf(points);
        for (int i = 0; i < points.size(); i++) {
            if (i > 0 && !ascending(points.get(i - 1), points.get(i))) {
                throw new IllegalArgumentException("points of %s %d: %s".formatted(kind, layer, points));
            }
        }
        if (points.isEmpty()) {
            throw new IllegalArgumentException("no points of %s %d".formatted(kind, layer));
        }
    }

    private static boolean ascending(Point a, Point b) {
        return a.residualBits() < b.residualBits() || a.residualBits() == b.residualBits() && a.pairs() < b.pairs();
    }

    /**
     * The semantic elbow: the budget where more pairs begin to give little, with the fewest bits of residuals. It is the knee of the divergence over the pairs, the point
     * that lies farthest below the straight line between the first and the last (Satopää et al., 2011, "Finding a Kneedle in a
     * Haystack").
     */
    public int elbow() {
        List<Point> plain = points.stream()
                .filter(point -> point.residualBits() == points.getFirst().residualBits())
                .toList();
        Point first = plain.getFirst();
        Point last = plain.getLast();
        double width = last.pairs() - first.pairs();
        double height = first.kl() - last.kl();
        if (!(width > 0) || !(height > 0)) {
            return first.pairs(); // more pairs give nothing
        }
        Point elbow = first;
        double farthest = 0;
        for (Point point : plain) {
            double right = (point.pairs() - first.pairs()) / width;
            double down = (first.kl() - point.kl()) / height;
            if (down - right > farthest) {
                farthest = down - right;
                elbow = point;
            }
        }
        return elbow.pairs();
    }
}
