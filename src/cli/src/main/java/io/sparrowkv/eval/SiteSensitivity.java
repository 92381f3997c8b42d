package io.sparrowkv.eval;

import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.util.List;
import java.util.Set;

/**
 * What it costs in predictions to keep less than everything of one site alone, for each choice of what is kept.
 *
 * @param layer the decoder layer
 * @param kind its keys or its values
 * @param points of the choices, in the same order at all sites
 */
public record SiteSensitivity(int layer, VectorKind kind, List<Point> points) {
    /**
     * One choice.
     *
     * @param kept what is kept of a vector, by its label: {@code 8+1}, {@code rotated-2}
     * @param bytes of a vector
     * @param kl mean divergence of the predictions from the dense cache's, in nats
     */
    public record Point(String kept, double bytes, double kl) {}

    public SiteSensitivity {
        points = List.copyOf(points);
        if (points.isEmpty() || points.stream().map(Point::kept).distinct().count() != points.size()) {
            throw new IllegalArgumentException("points of %s %d: %s".formatted(kind, layer, points));
        }
    }

    /** The site itself. */
    Site site() {
        return Site.of(layer, kind);
    }

    /**
     * The semantic elbow: the choice where more bytes begin to give little. It is the knee of the divergence over the bytes, the point
     * that lies farthest below the straight line between the first and the last (Satopää et al., 2011, "Finding a Kneedle in a
     * Haystack").
     *
     * @param among labels of the choices to look among, at least one, which ascend in bytes
     * @return its label
     */
    public String elbow(Set<String> among) {
        List<Point> candidates =
                points.stream().filter(point -> among.contains(point.kept())).toList();
        Point first = candidates.getFirst();
        Point last = candidates.getLast();
        double width = last.bytes() - first.bytes();
        double height = first.kl() - last.kl();
        if (!(width > 0) || !(height > 0)) {
            return first.kept(); // more bytes give nothing
        }
        Point elbow = first;
        double farthest = 0;
        for (Point point : candidates) {
            double right = (point.bytes() - first.bytes()) / width;
            double down = (first.kl() - point.kl()) / height;
            if (down - right > farthest) {
                farthest = down - right;
                elbow = point;
            }
        }
        return elbow.kept();
    }
}
