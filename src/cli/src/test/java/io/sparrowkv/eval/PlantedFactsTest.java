package io.sparrowkv.eval;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PlantedFactsTest {
    @ParameterizedTest
    @CsvSource({"1,1", "5,2", "13,5", "14,8", "8,8"})
    void everyFactStandsOnceOnALineOfItsOwn(int paragraphs, int count) {
        PlantedFacts planted = PlantedFacts.plant(prose(paragraphs), count, 11);
        List<String> lines = planted.text().lines().toList();
        assertThat(planted.facts()).hasSize(count);
        assertThat(lines).hasSize(paragraphs + count);
        for (PlantedFacts.Fact fact : planted.facts()) {
            assertThat(lines).containsOnlyOnce(fact.statement());
            assertThat(fact.number()).matches("[1-9][0-9]{4}");
        }
        assertThat(planted.facts().stream().map(PlantedFacts.Fact::name).distinct())
                .hasSize(count);
    }

    @Test
    void theSeedDecidesTheFacts() {
        assertThat(PlantedFacts.plant(prose(9), 4, 1)).isEqualTo(PlantedFacts.plant(prose(9), 4, 1));
        assertThat(PlantedFacts.plant(prose(9), 4, 1)).isNotEqualTo(PlantedFacts.plant(prose(9), 4, 2));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {" 12345.| 12345", "12345678|12345", " 12 345|12", "' none'|''", "''|''", "1234 and more|1234"})
    void theNumberOfAnAnswerIsItsFirstDigits(String answer, String number) {
        assertThat(PlantedFacts.Fact.numberIn(answer)).isEqualTo(number);
    }

    private static List<String> prose(int paragraphs) {
        return IntStream.range(0, paragraphs)
                .mapToObj(i -> "Paragraph " + i + ".")
                .toList();
    }
}
