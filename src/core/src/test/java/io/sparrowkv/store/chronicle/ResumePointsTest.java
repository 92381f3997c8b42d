package io.sparrowkv.store.chronicle;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ResumePointsTest {
    private static final long ROOMY = 1000;

    @Test
    void windowsLieBeforeTheEndAndAtDistancesThatDouble() {
        ResumePoints points = ResumePoints.of(20, 0, 0, 20, 1, ROOMY);
        assertThat(dense(points)).containsExactly(3, 11, 15, 17, 18, 19);
    }

    @Test
    void aForkHasAWindowAndWhatIsRestoredNeedsNone() {
        ResumePoints points = ResumePoints.of(20, 13, 14, 20, 2, ROOMY);
        assertThat(dense(points)).containsExactly(12, 13, 14, 15, 16, 17, 18, 19);
    }

    @Test
    void withoutRoomOnlyTheEndKeepsItsWindow() {
        ResumePoints points = ResumePoints.of(20, 0, 5, 20, 2, 2);
        assertThat(dense(points)).containsExactly(18, 19);
    }

    @Test
    void withoutAWindowNothingIsDense() {
        assertThat(dense(ResumePoints.of(20, 0, 5, 20, 0, ROOMY))).isEmpty();
        assertThat(dense(ResumePoints.NONE)).isEmpty();
    }

    private static List<Integer> dense(ResumePoints points) {
        return IntStream.range(0, 30).filter(points::needDense).boxed().toList();
    }
}
