package io.sparrowkv.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.eval.SiteSensitivity.Point;
import io.sparrowkv.sae.VectorKind;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;

class BudgetPlanTest {
    /** Every combination, tried. */
    private static double leastByTrying(List<SiteSensitivity> sites, int from, double left) {
        if (left < -1e-9) {
            return Double.POSITIVE_INFINITY;
        }
        if (from == sites.size()) {
            return 0;
        }
        double least = Double.POSITIVE_INFINITY;
        for (Point point : sites.get(from).points()) {
            least = Math.min(least, point.kl() + leastByTrying(sites, from + 1, left - point.bytes()));
        }
        return least;
    }

    @RepeatedTest(30)
    void isTheBestOfAllCombinations(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        List<SiteSensitivity> sites = new ArrayList<>();
        for (int layer = 0; layer < 5; layer++) {
            List<Point> points = new ArrayList<>();
            for (int bits = 0; bits <= 1; bits++) {
                for (int pairs = 1; pairs <= 3; pairs++) {
                    double bytes = 4 * pairs + 5 * bits + random.nextInt(8) / 8.0;
                    points.add(new Point(pairs + "+" + bits, bytes, random.nextDouble()));
                }
            }
            sites.add(new SiteSensitivity(layer, VectorKind.KEY, points));
        }
        double total = 15 + random.nextInt(80);
        Optional<BudgetPlan> plan = BudgetPlan.best(sites, total);
        double least = leastByTrying(sites, 0, total);
        assertThat(plan.isPresent()).isEqualTo(Double.isFinite(least));
        plan.ifPresent(found -> {
            assertThat(found.kl()).isCloseTo(least, within(1e-12));
            assertThat(found.bytes()).isLessThanOrEqualTo(total + 1e-9);
            assertThat(found.choices()).hasSize(5);
        });
    }

    @Test
    void aUniformPlanHasOneBudgetForKeysAndOneForValues() {
        // Keys gain from pairs, values do not: under 10 bytes a layer, 8 go to keys.
        List<SiteSensitivity> sites = new ArrayList<>();
        for (int layer = 0; layer < 3; layer++) {
            sites.add(new SiteSensitivity(
                    layer,
                    VectorKind.KEY,
                    List.of(new Point("1", 2, 1), new Point("2", 4, 0.9), new Point("4", 8, 0.1))));
            sites.add(new SiteSensitivity(
                    layer,
                    VectorKind.VALUE,
                    List.of(new Point("1", 2, 1), new Point("2", 4, 0.9), new Point("4", 8, 0.8))));
        }
        BudgetPlan plan = BudgetPlan.bestUniform(sites, 30).orElseThrow();
        assertThat(plan.choices().values()).extracting(Point::kept).containsExactly("4", "1", "4", "1", "4", "1");
        assertThat(plan.labels(VectorKind.KEY)).containsExactly("4", "4", "4");
        assertThat(BudgetPlan.bestUniform(sites, 11)).isEmpty();
    }

    @Test
    void theElbowIsWhereMoreBytesBeginToGiveLittle() {
        SiteSensitivity knee = new SiteSensitivity(
                0,
                VectorKind.KEY,
                List.of(
                        new Point("2", 8, 1),
                        new Point("4", 16, 0.3),
                        new Point("8", 32, 0.2),
                        new Point("32", 128, 0.1)));
        assertThat(knee.elbow(Set.of("2", "4", "8", "32"))).isEqualTo("4");
        assertThat(knee.elbow(Set.of("4", "8", "32"))).isEqualTo("8");
        SiteSensitivity straight = new SiteSensitivity(
                0, VectorKind.KEY, List.of(new Point("2", 8, 0.1), new Point("4", 16, 0.1), new Point("8", 32, 0.1)));
        assertThat(straight.elbow(Set.of("2", "4", "8"))).isEqualTo("2");
    }
}
