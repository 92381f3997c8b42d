package io.sparrowkv.report;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;

class TextTableTest {
    @Test
    void namesStandLeftAndNumbersRight() {
        TextTable table = TextTable.columns("part", "bytes", "note")
                .left(2)
                .row("codes", 123456, "fp16 µ")
                .row("window", 7, null);

        assertThat(lines(table))
                .containsExactly(
                        "part     bytes  note", "------  ------  ------", "codes   123456  fp16 µ", "window       7");
    }

    @Test
    void aTableWithoutRowsKeepsItsTitles() {
        assertThat(lines(TextTable.columns("a", "b"))).containsExactly("a  b", "-  -");
    }

    @Test
    void aRowOfAnotherWidthIsRefused() {
        assertThatThrownBy(() -> TextTable.columns("a", "b").row("only one"))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("1 cells")
                .hasMessageContaining("2 columns");
    }

    private static String[] lines(TextTable table) {
        StringWriter text = new StringWriter();
        table.print(new PrintWriter(text, true));
        return text.toString().split("\\R");
    }
}
