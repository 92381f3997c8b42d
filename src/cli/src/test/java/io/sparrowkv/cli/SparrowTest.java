package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.data.Percentage.withPercentage;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SparrowTest {
    @Test
    void helpNamesTheCommands() {
        Run run = Run.sparrow("--help");
        assertThat(run.code()).isZero();
        assertThat(run.out()).contains("info", "bench");
        assertThat(run.err()).isEmpty();
    }

    @Test
    void versionIsThatOfTheBuild() {
        Run run = Run.sparrow("--version");
        assertThat(run.code()).isZero();
        assertThat(run.out()).containsPattern("sparrow \\d+\\.\\d+\\.\\d+");
    }

    @Test
    void devicesSaysWhatIsMissingWhereThereAreNone() {
        Run run = Run.sparrow("devices"); // the command line's own class path holds no encoder with devices
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.out()).contains("no TornadoVM SDK was found; docs/tornadovm.md says how to install one");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "'' | Missing required subcommand",
                "fly | Unmatched argument",
                "info --dictionary x | Unknown option: '--dictionary'; did you mean --dictionaries",
                "bench encode --rows many | Invalid value for option '--rows'",
                "bench encode --rows 0 | --rows 0: must be from 1 to 1048576",
                "bench encode --latents 8 --budget 9 | --budget 9: must be from 1 to 8",
                "bench encode --encoder abacus | --encoder abacus: no such encoder; choose auto, ",
                "bench encode --threads 0 | --threads 0: must be from 1 to 1024",
            })
    void badUsageIsOneLineAndExitCode2(String arguments, String message) {
        Run run = Run.sparrow(arguments.isEmpty() ? new String[0] : arguments.split(" "));
        assertThat(run.code()).as(run.err()).isEqualTo(2);
        assertThat(run.err()).startsWith("sparrow: error: " + message);
        assertThat(run.err().lines()).hasSize(1);
        assertThat(run.out()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "--stacktrace bench encode --rows 0",
                "bench --stacktrace encode --rows 0",
                "bench encode --rows 0 --stacktrace",
                "bench encode --stacktrace --rows many"
            })
    void stackTracesShowOnDemandWhereverTheOptionStands(String arguments) {
        Run run = Run.sparrow(arguments.split(" "));
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.err()).startsWith("sparrow: error: ").contains("\tat io.sparrowkv.cli");
    }

    @Test
    void infoAsJsonIsOneDocumentAndNamesOneAutomaticEncoder() {
        Run run = Run.sparrow("info", "--json");
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.json().at("/command").asString()).isEqualTo("info");
        assertThat(run.json().at("/machine/cores").asInt())
                .isEqualTo(Runtime.getRuntime().availableProcessors());
        int automatic = 0;
        for (var encoder : run.json().at("/encoders")) {
            automatic += encoder.at("/state").asString().equals("auto") ? 1 : 0;
        }
        assertThat(automatic).isEqualTo(1);
    }

    @Test
    void aResultGoesToAFileAsJsonBesideItsFormForPeople(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("new/info.json");
        Run run = Run.sparrow("info", "--json", "--json-file", file.toString());
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(file).hasContent(run.out());
        Files.delete(file);
        assertThat(Run.sparrow("info", "--json-file", file.toString()).out())
                .doesNotStartWith("{")
                .contains("vector");
        assertThat(file).isNotEmptyFile();
        Run refused = Run.sparrow("info", "--json-file", file + "/below.json");
        assertThat(refused.code()).isEqualTo(2);
        assertThat(refused.err()).startsWith("sparrow: error: --json-file " + file + "/below.json: cannot be written");
        assertThat(refused.out()).isEmpty();
    }

    @Test
    void anSdkThatTheLauncherFoundIsShownWithoutBeingStarted() {
        System.setProperty("sparrow.tornadovm", "/opt/some-sdk");
        try {
            Run run = Run.sparrow("info", "--json");
            assertThat(run.code()).as(run.err()).isZero();
            assertThat(run.json().at("/encoders/0/name").asString()).isEqualTo("tornado");
            assertThat(run.json().at("/encoders/0/state").asString()).isEqualTo("untested");
            assertThat(run.json().at("/encoders/0/description").asString())
                    .contains("TornadoVM in /opt/some-sdk", "sparrow devices");
            assertThat(run.json().at("/encoders/1/state").asString()).isEqualTo("auto");
        } finally {
            System.clearProperty("sparrow.tornadovm");
        }
    }

    @Test
    void encodersAreMeasuredAndComparedWithTheOracle() {
        Run run = Run.sparrow(
                "bench",
                "encode",
                "--d-head",
                "24",
                "--latents",
                "130",
                "--budget",
                "5",
                "--rows",
                "65",
                "--seconds",
                "0.05",
                "--json");
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.json().at("/encoders")).isNotEmpty();
        for (var encoder : run.json().at("/encoders")) {
            assertThat(encoder.at("/vectorsPerSecond").asDouble()).isPositive();
            assertThat(encoder.has("disagreement")).isFalse();
            assertThat(encoder.has("shareOfPeak")).isEqualTo(encoder.has("peakGigaflops"));
            if (encoder.has("shareOfPeak")) {
                assertThat(encoder.at("/shareOfPeak").asDouble()
                                * encoder.at("/peakGigaflops").asDouble())
                        .isCloseTo(encoder.at("/gigaflops").asDouble(), withPercentage(0.01));
            }
        }
    }
}
