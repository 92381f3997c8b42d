package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** Calibration of the bundled model, and the use of what it finds. */
class CalibrateCommandTest {
    private static final String HOME = "sparrow.home";
    private static final int SITES = 12;

    @TempDir
    private Path folder;

    private Path text;

    @BeforeAll
    static void setHome() {
        System.setProperty(
                HOME, Path.of("..", "..").toAbsolutePath().normalize().toString());
    }

    @AfterAll
    static void clearHome() {
        System.clearProperty(HOME);
    }

    @BeforeEach
    void writeText() throws Exception {
        text = folder.resolve("text.txt");
        try (var prose = DemoCommand.class.getResourceAsStream("demo-prose.txt")) {
            Files.write(text, prose.readAllBytes());
        }
    }

    @Test
    void aProfileIsFoundUnderTheBytesAllowedAndCanBeUsed() {
        Path profile = folder.resolve("profile.json");
        Run first = calibrate(profile, "40");
        assertThat(first.code()).as(first.err()).isZero();
        JsonNode result = first.json();
        assertThat(result.at("/sites")).hasSize(SITES);
        for (JsonNode site : result.at("/sites")) {
            assertThat(site.at("/points/0/kl").asDouble()).isPositive();
        }
        assertThat(result.at("/calibrated/profile/bytes").asDouble()).isBetween(30.0, 40.0);
        assertThat(result.at("/calibrated/evaluation/bytes/tokens").asInt()).isEqualTo(500);
        assertThat(result.at("/calibrated/sumOfKl").asDouble())
                .isLessThanOrEqualTo(result.at("/uniform/sumOfKl").asDouble());

        // What was measured serves for other bytes.
        Path larger = folder.resolve("larger.json");
        copy(beside(profile), beside(larger));
        Run second = calibrate(larger, "96");
        assertThat(second.code()).as(second.err()).isZero();
        assertThat(second.err()).contains("12 of 12 sites were measured before");
        assertThat(second.json().at("/sites")).isEqualTo(result.at("/sites"));
        assertThat(second.json().at("/calibrated/sumOfKl").asDouble())
                .isLessThan(result.at("/calibrated/sumOfKl").asDouble());

        Run used = Run.sparrow("eval", "ppl", "--text", text.toString(), "--profile", larger.toString(), "--json");
        assertThat(used.code()).as(used.err()).isZero();
        double bytes = used.json().at("/evaluation/bytes/keyIndices").asDouble()
                + used.json().at("/evaluation/bytes/keyCoefficients").asDouble()
                + used.json().at("/evaluation/bytes/valueIndices").asDouble()
                + used.json().at("/evaluation/bytes/valueCoefficients").asDouble();
        assertThat(bytes / used.json().at("/evaluation/bytes/codedVectors").asDouble())
                .isEqualTo(second.json().at("/calibrated/profile/bytes").asDouble());
    }

    @Test
    void bytesThatNoBudgetsFitAreRefused() {
        Path profile = folder.resolve("profile.json");
        Run run = calibrate(profile, "20");
        assertThat(run.code()).isEqualTo(ExitCode.BAD_INPUT);
        assertThat(run.err()).contains("--bytes 20", "32.0");
        assertThat(profile).doesNotExist();
    }

    @Test
    void aProfileBesideBudgetsAndOneOfAnotherModelAreRefused() throws Exception {
        Path profile = folder.resolve("profile.json");
        Files.writeString(profile, """
                {"format_version": 2, "model_fingerprint": "00", "dictionaries_fingerprint": "11", "refine": "none", "coefficients": "4",
                 "bytes": 16, "layers": [{"key": 2, "key_residual_bits": 0, "value": 2, "value_residual_bits": 0}]}
                """);
        Run both = ppl("--profile", profile.toString(), "--budget-key", "4");
        assertThat(both.code()).isEqualTo(ExitCode.BAD_INPUT);
        assertThat(both.err()).contains("--profile", "one or the other");
        Run other = ppl("--profile", profile.toString());
        assertThat(other.code()).isEqualTo(ExitCode.BAD_INPUT);
        assertThat(other.err()).contains("model_fingerprint is 00", "sparrow calibrate");
        Run missing = ppl("--profile", folder.resolve("none.json").toString());
        assertThat(missing.code()).isEqualTo(ExitCode.BAD_INPUT);
        assertThat(missing.err()).contains("none.json", "no such file");
    }

    private Run ppl(String... options) {
        List<String> arguments = new ArrayList<>(List.of("eval", "ppl", "--text", text.toString()));
        arguments.addAll(List.of(options));
        return Run.sparrow(arguments.toArray(String[]::new));
    }

    private Run calibrate(Path profile, String bytes) {
        return Run.sparrow(
                "calibrate",
                "--text",
                text.toString(),
                "--tokens",
                "500",
                "--context",
                "500",
                "--pairs",
                "4,12",
                "--refine",
                "none",
                "--coefficients",
                "fp16",
                "--bytes",
                bytes,
                "--out",
                profile.toString(),
                "--json");
    }

    private static Path beside(Path profile) {
        return profile.resolveSibling(profile.getFileName() + ".measured.json");
    }

    private static void copy(Path from, Path to) {
        try {
            Files.copy(from, to);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
