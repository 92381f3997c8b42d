package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.attention.CodeProfile;
import io.sparrowkv.encode.Coefficients;
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

        // What was measured serves for other bytes, and beside other coefficients.
        Path larger = folder.resolve("larger.json");
        copy(beside(profile), beside(larger));
        Run second = calibrate(larger, "96", "--coefficients", "fp16,8");
        assertThat(second.code()).as(second.err()).isZero();
        assertThat(second.err()).contains("fp16 coefficients: 12 of 12 sites were measured before");
        assertThat(second.err()).doesNotContain("8-bit coefficients: 12 of 12");
        JsonNode forms = second.json().at("/forms");
        assertThat(forms).hasSize(2);
        assertThat(forms.at("/0/sumOfKl").asDouble())
                .isLessThan(result.at("/calibrated/sumOfKl").asDouble());
        double least = Math.min(
                forms.at("/0/sumOfKl").asDouble(), forms.at("/1/sumOfKl").asDouble());
        assertThat(second.json().at("/calibrated/sumOfKl").asDouble()).isEqualTo(least);
        int chosen = forms.at("/0/sumOfKl").asDouble() == least ? 0 : 1;
        assertThat(second.json().at("/chosen").asString())
                .isEqualTo(forms.at("/" + chosen + "/name").asString());
        assertThat(CodeProfile.read(larger).coefficients())
                .isEqualTo(List.of(Coefficients.FP16, Coefficients.BITS_8).get(chosen));

        Run used = Run.sparrow("eval", "ppl", "--text", text.toString(), "--profile", larger.toString(), "--json");
        assertThat(used.code()).as(used.err()).isZero();
        double bytes = 0;
        for (String part : List.of("Indices", "Coefficients", "Scales", "Residuals")) {
            bytes += used.json().at("/evaluation/bytes/key" + part).asDouble();
            bytes += used.json().at("/evaluation/bytes/value" + part).asDouble();
        }
        assertThat(bytes / used.json().at("/evaluation/bytes/codedVectors").asDouble())
                .isCloseTo(second.json().at("/calibrated/profile/bytes").asDouble(), within(1e-9));
    }

    @Test
    void aQuantizerIsFoundForEachSiteAndServesWhereverItIsNamed() {
        Path profile = folder.resolve("quantizers.json");
        Run run = calibrateChoices(
                profile,
                "44",
                List.of(
                        "--quantizers",
                        "rotated-2,rotated-1",
                        "--dictionaries",
                        folder.resolve("none").toString())); // quantizers need none
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.json().at("/sites/0/points/0/kept").asString()).isEqualTo("rotated-1");
        // 8 bytes a layer more than one bit takes: three sites of twelve may have two bits, 16 bytes more.
        assertThat(run.json().at("/calibrated/profile/bytes").asDouble()).isEqualTo(44);
        assertThat(run.json().at("/calibrated/labels").toString().split("rotated-2", -1))
                .hasSize(4);
        assertThat(run.json().at("/uniform/profile/bytes").asDouble()).isEqualTo(36);
        assertThat(run.json().at("/paper").isMissingNode()).isTrue();

        String named = "profile:" + profile;
        Run codecs = Run.sparrow(
                "eval",
                "codecs",
                "--text",
                text.toString(),
                "--tokens",
                "500",
                "--passkeys",
                "0",
                "--codecs",
                named + ",rotated-1",
                "--chart",
                folder.resolve("codecs.png").toString(),
                "--page",
                folder.resolve("codecs.html").toString(),
                "--json");
        assertThat(codecs.code()).as(codecs.err()).isZero();
        assertThat(codecs.json().at("/rows/0/vectorBytes").asDouble()).isEqualTo(44);
        assertThat(codecs.json().at("/rows/0/evaluation/comparison/meanKl").asDouble())
                .isLessThan(
                        codecs.json().at("/rows/1/evaluation/comparison/meanKl").asDouble());

        Run generated = generate(profile, "--json");
        assertThat(generated.code()).as(generated.err()).isZero();
        assertThat(generated.json().at("/codec").asString()).contains("quantizers.json");
        assertThat(generated.json().at("/parts/dictionaries").asLong()).isZero();
        assertThat(generated.json().at("/parts/keyScales").asLong()).isPositive();
        for (Run refused : List.of(
                generate(profile, "--codec", "rotated-2"),
                generate(profile, "--budget-key", "4"),
                ppl("--profile", profile.toString()),
                Run.sparrow(
                        "calibrate",
                        "--text",
                        text.toString(),
                        "--bytes",
                        "44",
                        "--quantizers",
                        "q4_0",
                        "--pairs",
                        "4",
                        "--out",
                        profile.toString()))) {
            assertThat(refused.code()).isEqualTo(ExitCode.BAD_INPUT);
            assertThat(refused.err()).containsAnyOf("give one", "sparse codes are needed");
        }
    }

    private Run generate(Path profile, String... options) {
        List<String> arguments = new ArrayList<>(List.of(
                "generate",
                "--prompt",
                "It was a dark and stormy night".repeat(12),
                "--max-tokens",
                "8",
                "--window",
                "16"));
        arguments.addAll(List.of("--profile", profile.toString()));
        arguments.addAll(List.of(options));
        return Run.sparrow(arguments.toArray(String[]::new));
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
        return calibrate(profile, bytes, "--coefficients", "fp16");
    }

    private Run calibrate(Path profile, String bytes, String... form) {
        List<String> choices = new ArrayList<>(List.of("--pairs", "4,12", "--refine", "none"));
        choices.addAll(List.of(form));
        return calibrateChoices(profile, bytes, choices);
    }

    private Run calibrateChoices(Path profile, String bytes, List<String> choices) {
        List<String> arguments = new ArrayList<>(List.of(
                "calibrate",
                "--text",
                text.toString(),
                "--tokens",
                "500",
                "--context",
                "500",
                "--bytes",
                bytes,
                "--out",
                profile.toString(),
                "--json"));
        arguments.addAll(choices);
        return Run.sparrow(arguments.toArray(String[]::new));
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
