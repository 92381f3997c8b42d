package io.sparrowkv.eval;

import io.sparrowkv.eval.SiteSensitivity.Point;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * What is kept at each site under a total of bytes, so that the sum of the sites' own divergences is least. That sum stands for the
 * divergence of coding all of them, which it is not: what is planned is to be measured.
 *
 * @param choices one for each site, in the order of the sites
 */
public record BudgetPlan(SortedMap<Site, Point> choices) {
    /** Steps of a byte in which totals are counted: codes have whole bytes, but for what rounding to blocks adds. */
    private static final int STEPS = 8;

    public BudgetPlan {
        choices = Collections.unmodifiableSortedMap(new TreeMap<>(choices));
    }

    /**
     * Finds the best plan, exactly, by dynamic programming over the bytes that are left (a multiple-choice knapsack).
     *
     * @param total bytes of all sites' codes together
     * @return empty when not even the smallest choices fit
     */
    public static Optional<BudgetPlan> best(List<SiteSensitivity> sites, double total) {
        int capacity = Math.toIntExact((long) Math.floor(total * STEPS + 1e-6));
        double[] least = new double[capacity + 1]; // divergence by steps spent at most
        int[][] chosen = new int[sites.size()][capacity + 1];
        for (int i = 0; i < sites.size(); i++) {
            List<Point> points = sites.get(i).points();
            double[] next = new double[capacity + 1];
            Arrays.fill(next, Double.POSITIVE_INFINITY);
            for (int spent = 0; spent <= capacity; spent++) {
                for (int p = 0; p < points.size(); p++) {
                    int left = spent - steps(points.get(p));
                    double kl = left < 0
                            ? Double.POSITIVE_INFINITY
                            : least[left] + points.get(p).kl();
                    if (kl < next[spent]) {
                        next[spent] = kl;
                        chosen[i][spent] = p;
                    }
                }
            }
            least = next;
        }
        if (Double.isInfinite(least[capacity])) {
            return Optional.empty();
        }
        SortedMap<Site, Point> choices = new TreeMap<>();
        int left = capacity;
        for (int i = sites.size() - 1; i >= 0; i--) {
            Point choice = sites.get(i).points().get(chosen[i][left]);
            choices.put(sites.get(i).site(), choice);
            left -= steps(choice);
        }
        return Optional.of(new BudgetPlan(choices));
    }

    /**
     * The best plan that keeps the same of all keys, and the same of all values.
     *
     * @param sites with the same choices measured for each
     * @return empty when not even the smallest choices fit
     */
    public static Optional<BudgetPlan> bestUniform(List<SiteSensitivity> sites, double total) {
        BudgetPlan best = null;
        List<Point> any = sites.getFirst().points();
        for (Point key : any) {
            for (Point value : any) {
                SortedMap<Site, Point> choices = new TreeMap<>();
                for (SiteSensitivity site : sites) {
                    Point like = switch (site.kind()) {
                        case KEY -> key;
                        case VALUE -> value;
                    };
                    choices.put(site.site(), at(site, like.kept()));
                }
                BudgetPlan plan = new BudgetPlan(choices);
                if (plan.bytes() <= total + 1e-6 && (best == null || plan.kl() < best.kl())) {
                    best = plan;
                }
            }
        }
        return Optional.ofNullable(best);
    }

    /** What is kept of keys or of values, by layer. */
    public List<String> labels(VectorKind kind) {
        return choices.entrySet().stream()
                .filter(choice -> choice.getKey().kind() == kind)
                .map(choice -> choice.getValue().kept())
                .toList();
    }

    /** Bytes of all sites' codes together. */
    public double bytes() {
        return choices.values().stream().mapToDouble(Point::bytes).sum();
    }

    /** The sum of the sites' own divergences. */
    public double kl() {
        return choices.values().stream().mapToDouble(Point::kl).sum();
    }

    private static int steps(Point point) {
        return (int) Math.ceil(point.bytes() * STEPS - 1e-6);
    }

    private static Point at(SiteSensitivity site, String kept) {
        return site.points().stream()
                .filter(point -> point.kept().equals(kept))
                .findFirst()
                .orElseThrow(
                        () -> new IllegalArgumentException(site.site() + ": not measured as others are, with " + kept));
    }
}
