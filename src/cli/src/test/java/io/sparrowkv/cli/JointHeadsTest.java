package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.codec.PairFormat;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** Dictionaries that code a layer's KV heads together, through the commands that take dictionaries. */
class JointHeadsTest {
    private static final String HOME = "sparrow.home";

    /** Of the bundled model: 2 KV heads of 128. */
    private static final int WIDTH = 256;

    private static final int LATENTS = 64;
    private static final int INDEX_BITS = PairFormat.LEAST_INDEX_BITS;

    @TempDir
    private static Path folder;

    private static Path text;
    private static Path dictionaries;

    @BeforeAll
    static void train() throws Exception {
        System.setProperty(
                HOME, Path.of("..", "..").toAbsolutePath().normalize().toString());
        text = folder.resolve("text.txt");
        try (var prose = DemoCommand.class.getResourceAsStream("demo-prose.txt")) {
            Files.write(text, prose.readAllBytes());
        }
        dictionaries = folder.resolve("joint");
        JsonNode report = json(
                "train",
                "--heads",
                "joint",
                "--text",
                text.toString(),
                "--latents",
                Integer.toString(LATENTS),
                "--steps",
                "3",
                "--batch",
                "128",
                "--budgets",
                "4,8",
                "--metric",
                "fisher",
                "--metric-contexts",
                "1",
                "--out",
                dictionaries.toString());
        assertThat(report.at("/sites")).hasSize(12);
        assertThat(report.at("/sites/0/site").asString()).isEqualTo("layer.00.key.joint");
    }

    @AfterAll
    static void clearHome() {
        System.clearProperty(HOME);
    }

    @Test
    void theyAreTold() {
        JsonNode info = json("info", "--dictionaries", dictionaries.toString());
        assertThat(info.at("/dictionaries/dHead").asInt()).isEqualTo(WIDTH);
        assertThat(info.at("/dictionaries/heads").asString()).isEqualTo("joint");
        assertThat(Run.sparrow("info", "--dictionaries", dictionaries.toString())
                        .out())
                .contains("a layer's KV heads together");
    }

    @Test
    void theyAreComparedAsOtherCodesAre() {
        JsonNode result = with("eval", "codecs", "--tokens", "600", "--passkeys", "0")
                .add("--codecs", "rotated-1,sparse:4/8+pursuit:16+4bit,sparse:4/8+pursuit:16+4bit+residual:1")
                .add(
                        "--chart",
                        folder.resolve("c.png").toString(),
                        "--page",
                        folder.resolve("c.html").toString())
                .json();
        int pairs = 4 * (INDEX_BITS + 4) / 8 + 2 + 8 * (INDEX_BITS + 4) / 8 + 2;
        assertThat(result.at("/rows/1/vectorBytes").asDouble()).isEqualTo(pairs / 2.0);
        assertThat(result.at("/rows/2/vectorBytes").asDouble()).isEqualTo((pairs + 2 * (WIDTH / 8 + 2)) / 2.0);
        assertThat(result.at("/rows/2/evaluation/comparison/meanKl").asDouble())
                .isPositive()
                .isLessThan(result.at("/rows/1/evaluation/comparison/meanKl").asDouble());
        assertThat(with("eval", "sites").json().at("/sites")).hasSize(12);
    }

    @Test
    void theyAreCalibratedAndTheProfileTakesTheBytesItSays() {
        Path profile = folder.resolve("profile.json");
        JsonNode found = with("calibrate", "--tokens", "400", "--context", "400", "--bytes", "20", "--pairs", "4,12")
                .add("--refine", "none", "--residual", "0,1", "--out", profile.toString())
                .json();
        double bytes = found.at("/calibrated/profile/bytes").asDouble();
        assertThat(bytes).isBetween(8.0, 20.0);
        JsonNode used =
                with("eval", "ppl", "--profile", profile.toString()).json().at("/evaluation/bytes");
        double codes = 0;
        for (String part : List.of("Indices", "Coefficients", "Residuals", "Scales")) {
            codes +=
                    used.at("/key" + part).asDouble() + used.at("/value" + part).asDouble();
        }
        assertThat(codes / used.at("/codedVectors").asDouble()).isEqualTo(bytes);
    }

    @Test
    void theyGenerateButNotFromAStore() {
        Arguments generate = with("generate", "--prompt", "It was a bright cold day", "--max-tokens", "4")
                .add("--budget-key", "4", "--budget-value", "8", "--window", "4", "--sinks", "1");
        generate.arguments.removeAll(List.of("--text", text.toString()));
        assertThat(generate.json().at("/parts/dictionaries").asLong()).isPositive();
        Run refused = Run.sparrow(
                generate.add("--store", folder.resolve("store").toString()).toArray());
        assertThat(refused.code()).isEqualTo(ExitCode.BAD_INPUT);
        assertThat(refused.err().lines().filter(line -> line.contains("error")))
                .singleElement()
                .asString()
                .contains("together", "leave the store out", "--heads shared");
        assertThat(folder.resolve("store")).doesNotExist();
    }

    /** A command with the text and the joint dictionaries. */
    private static Arguments with(String... command) {
        return new Arguments(command).add("--text", text.toString(), "--dictionaries", dictionaries.toString());
    }

    private static final class Arguments {
        private final List<String> arguments = new ArrayList<>();

        Arguments(String... first) {
            add(first);
        }

        Arguments add(String... more) {
            arguments.addAll(List.of(more));
            return this;
        }

        String[] toArray() {
            return arguments.toArray(String[]::new);
        }

        JsonNode json() {
            return JointHeadsTest.json(toArray());
        }
    }

    private static JsonNode json(String... arguments) {
        List<String> all = new ArrayList<>(List.of(arguments));
        all.add("--json");
        Run run = Run.sparrow(all.toArray(String[]::new));
        assertThat(run.code()).as(run.err()).isZero();
        return run.json();
    }
}
