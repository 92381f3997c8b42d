package io.sparrowkv.llm.generate;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class StopStringsTest {
    @Test
    void textPassesUpToTheStopStringHoweverItIsCut() {
        String text = "one\ntwo\n\nUser: three";
        Random random = new Random(1);
        for (int trial = 0; trial < 200; trial++) {
            StopStrings stops = new StopStrings(List.of("\n\nUser:", "never"));
            StringBuilder passed = new StringBuilder();
            int from = 0;
            while (from < text.length()) {
                int to = Math.min(text.length(), from + 1 + random.nextInt(5));
                passed.append(stops.append(text.substring(from, to)));
                from = to;
            }
            assertThat(passed).hasToString("one\ntwo");
            assertThat(stops.met()).isTrue();
            assertThat(stops.finish()).isEmpty();
        }
    }

    @Test
    void whatOnlyBeganAStopStringComesLater() {
        StopStrings stops = new StopStrings(List.of("aab"));
        assertThat(stops.append("xa")).isEqualTo("x");
        assertThat(stops.append("a")).isEmpty();
        assertThat(stops.append("a")).isEqualTo("a");
        assertThat(stops.append("c")).isEqualTo("aac");
        assertThat(stops.append("a")).isEmpty();
        assertThat(stops.met()).isFalse();
        assertThat(stops.finish()).isEqualTo("a");
    }

    @Test
    void theEarliestOfSeveralStopStringsEndsTheText() {
        StopStrings stops = new StopStrings(List.of("late", "b"));
        assertThat(stops.append("abclate")).isEqualTo("a");
        assertThat(stops.append("more")).isEmpty();
    }

    @Test
    void withoutStopStringsAllPassesAtOnce() {
        assertThat(new StopStrings(List.of()).append("all")).isEqualTo("all");
    }
}
