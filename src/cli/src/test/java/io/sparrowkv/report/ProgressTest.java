package io.sparrowkv.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;

class ProgressTest {
    @Test
    void aShortJobSaysNothingWhereNobodyWatches() {
        StringWriter err = new StringWriter();
        try (Progress progress = Progress.start("capture", 3, "tokens", new PrintWriter(err))) {
            progress.at(1, "");
            progress.at(3, "");
        }
        assertThat(err.toString()).isEmpty();
    }

    @Test
    void aTerminalGetsABarThatEndsItsLine() {
        System.setProperty(Progress.TERMINAL_PROPERTY, "true");
        try {
            StringWriter err = new StringWriter();
            try (Progress progress = Progress.start("capture", 3, "tokens", new PrintWriter(err))) {
                progress.at(3, "loss 0.5");
            }
            assertThat(err.toString()).contains("\rcapture").contains("3/3").endsWith(System.lineSeparator());
        } finally {
            System.clearProperty(Progress.TERMINAL_PROPERTY);
        }
    }
}
