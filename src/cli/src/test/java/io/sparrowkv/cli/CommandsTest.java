package io.sparrowkv.cli;

import static io.sparrowkv.cli.BadInputTest.refused;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;

/** The way from a text to a generation with a sparse cache, command by command, on the bundled model. */
class CommandsTest {
    private static final String MODEL =
            BadInputTest.repository().resolve("models/gutenberg-7m").toString();
    private static final String PROMPT = "The secret number of Theresa is 48213.\n".repeat(12);

    @TempDir
    static Path folder;

    private static Path text;
    private static Path trace;
    private static Path dictionaries;
    private static Run dense;

    @BeforeAll
    static void captureAndTrain() throws IOException {
        text = Files.writeString(
                folder.resolve("text.txt"), "It was a dark and stormy night; the rain fell.\n".repeat(40));
        trace = folder.resolve("trace.arrow");
        dictionaries = folder.resolve("dictionaries");
        Run capture = Run.sparrow(
                "capture", MODEL, "--text", text.toString(), "--context", "100", "--out", trace.toString(), "--json");
        assertThat(capture.code()).as(capture.err()).isZero();
        assertThat(capture.json().at("/bytes").asLong()).isEqualTo(Files.size(trace));
        int tokens = capture.json().at("/tokens").asInt();
        assertThat(capture.json().at("/vectors").asLong()).isEqualTo(tokens * 2L * 6 * 3);

        Run train = train("--capture", trace.toString(), "--out", dictionaries.toString(), "--json");
        assertThat(train.code()).as(train.err()).isZero();
        assertThat(train.json().at("/sites")).hasSize(12);
        dense = generate("--codec", "dense", "--json");
    }

    @Test
    void trainingFromTheModelGivesWhatTrainingFromItsTraceGives() {
        Path live = folder.resolve("live");
        Run train = train(MODEL, "--text", text.toString(), "--context", "100", "--out", live.toString(), "--json");
        assertThat(train.code()).as(train.err()).isZero();
        assertThat(train.json().at("/fingerprint").asString()).isEqualTo(fingerprint(dictionaries));
        assertThat(fingerprint(live)).isEqualTo(fingerprint(dictionaries));
    }

    @Test
    void aMetricIsMeasuredOnTheModelAndStaysWithItsDictionaries() {
        Path weighed = folder.resolve("weighed");
        Run first = train(
                MODEL,
                "--text",
                text.toString(),
                "--context",
                "260",
                "--metric",
                "fisher:1",
                "--metric-contexts",
                "1",
                "--out",
                weighed.toString());
        assertThat(first.code()).as(first.err()).isZero();
        assertThat(weighed.resolve("layer.03.key/metric.safetensors")).isNotEmptyFile();
        Path on = folder.resolve("on");
        Run second = train(
                "--capture",
                trace.toString(),
                "--from",
                weighed.toString(),
                "--refine",
                "pursuit:20",
                "--out",
                on.toString());
        assertThat(second.code()).as(second.err()).isZero();
        assertThat(on.resolve("layer.03.key/metric.safetensors"))
                .hasSameBinaryContentAs(weighed.resolve("layer.03.key/metric.safetensors"));
    }

    @Test
    void infoDescribesModelAndDictionaries() {
        Run info = Run.sparrow("info", MODEL, "--dictionaries", dictionaries.toString());
        assertThat(info.code()).as(info.err()).isZero();
        assertThat(info.out()).contains("6,655,232 parameters", "12 sites, 64 atoms of 128, keys before RoPE");
    }

    @Test
    void aWindowLongerThanTheTextGivesTheDenseModelsText() {
        Run sparse = generate("--window", "2000", "--json");
        assertThat(sparse.json().at("/text").asString())
                .isEqualTo(dense.json().at("/text").asString())
                .isNotEmpty();
    }

    @Test
    void quantizersGenerateTooAndF16GivesTheDenseModelsText() {
        JsonNode half = generate("--codec", "f16", "--window", "16", "--json").json();
        assertThat(half.at("/codec").asString()).isEqualTo("f16");
        assertThat(half.at("/text").asString())
                .isEqualTo(dense.json().at("/text").asString())
                .isNotEmpty();
        JsonNode fewer =
                generate("--codec", "rotated-2", "--window", "16", "--json").json();
        assertThat(fewer.at("/text").asString()).isNotEmpty();
        assertThat(fewer.at("/parts/keyScales").asLong()).isPositive();
        assertThat(fewer.at("/parts/dictionaries").asLong()).isZero();
        assertThat(fewer.at("/parts/keyCoefficients").asLong() * 8)
                .isEqualTo(half.at("/parts/keyCoefficients").asLong());
    }

    @Test
    void theBytesOfTheCacheAddUp() {
        JsonNode report = generate("--window", "64", "--layer-budget", "3=16/16", "--coefficients", "6", "--json")
                .json();
        JsonNode parts = report.at("/parts");
        long sum = 0;
        for (String part : List.of(
                "keyIndices",
                "keyCoefficients",
                "keyScales",
                "valueIndices",
                "valueCoefficients",
                "valueScales",
                "window",
                "sinks")) {
            assertThat(parts.at("/" + part).asLong()).as(part).isPositive();
            sum += parts.at("/" + part).asLong();
        }
        assertThat(report.at("/cacheBytes").asLong()).isEqualTo(sum);
        int tokens = report.at("/cacheTokens").asInt();
        assertThat(tokens)
                .isEqualTo(report.at("/promptTokens").asInt()
                        + report.at("/generatedTokens").asInt()
                        - 1);
        assertThat(report.at("/denseFp16Bytes").asLong()).isEqualTo(tokens * 6L * 2 * 2 * 128 * 2);
    }

    @Test
    void textGoesToStdoutAndTheReportToStderr() {
        Run run = generate("--codec", "dense");
        assertThat(run.out().stripTrailing())
                .isEqualTo(dense.json().at("/text").asString().stripTrailing());
        assertThat(run.err()).contains("dense: prompt ", "in fp16 ");
    }

    @Test
    void aPromptCanComeFromAFile() throws IOException {
        Path file = Files.writeString(folder.resolve("prompt.txt"), PROMPT);
        Run run = Run.sparrow(
                "generate", MODEL, "--prompt-file", file.toString(), "--max-tokens", "8", "--codec", "dense", "--json");
        assertThat(run.code()).as(run.err()).isZero();
        assertThat(run.json().at("/text").asString())
                .isEqualTo(dense.json().at("/text").asString());
    }

    @Test
    void attentionIsMeasuredAndComparedWithItsDefinition() {
        for (String rope : List.of("pre", "post")) {
            Run run = Run.sparrow(
                    "bench",
                    "attention",
                    "--tokens",
                    "200",
                    "--heads",
                    "4",
                    "--kv-heads",
                    "2",
                    "--d-head",
                    "24",
                    "--latents",
                    "70",
                    "--window",
                    "16",
                    "--rope",
                    rope,
                    "--seconds",
                    "0.05",
                    "--json");
            assertThat(run.code()).as(run.err()).isZero();
            assertThat(run.json().at("/largestDifference").asDouble()).isLessThan(1e-4);
            assertThat(run.json().at("/contexts/0/p50Micros").asDouble()).isPositive();
        }
    }

    @Test
    void dictionariesOfAnotherModel() throws IOException {
        Path other = Files.createDirectory(folder.resolve("other"));
        try (Stream<Path> files = Files.list(Path.of(MODEL))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.copy(file, other.resolve(file.getFileName()));
            }
        }
        Path config = other.resolve("config.json");
        Files.writeString(
                config, Files.readString(config).replace("\"rope_theta\": 10000.0", "\"rope_theta\": 20000.0"));
        refused(
                "were trained on 'gutenberg-7m'",
                "generate",
                other.toString(),
                "--prompt",
                "x",
                "--dictionaries",
                dictionaries.toString());
        refused("has no folder 'dictionaries'", "generate", other.toString(), "--prompt", "x");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--budget-key 65 | --budget-key of layer 0 is 65; choose from 0 to 64",
                "--budget-value 0 --store never | --budget-value of layer 0 is 0: a store keeps codes",
                "--budget-key 8 --stored-key 4 | --stored-key of layer 0 is 4; choose from 8 to 64",
                "--layer-budget 6=8/8 | --layer-budget: the layer is 6; choose from 0 to 5",
                "--layer-budget 1=8/8,1=4/4 | layer 1 is named twice",
                "--window -1 | --window is -1",
                "--sinks -1 | --sinks is -1",
                "--encoder abacus | --encoder abacus: no such encoder",
            })
    void cacheOptionsOutOfRange(String options, String message) {
        List<String> arguments =
                new ArrayList<>(List.of("generate", MODEL, "--prompt", "x", "--dictionaries", dictionaries.toString()));
        arguments.addAll(List.of(options.split(" ")));
        refused(message, arguments.toArray(String[]::new));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--layers 6 | '6' is not within the model's layers, 0 to 5",
                "--layers 1-x | '1-x' is no layer",
                "--steps 3 --vectors 100 | --steps and --vectors are both given",
                "--dtype bf16 | must be f16 or f32",
                "--budgets 8,4 | budgets are [8, 4]",
                "--latents 4 | fewer than the largest budget",
                "--resume | no such checkpoint",
                "--metric fisher | --metric needs the model",
            })
    void trainingOptionsOutOfRange(String options, String message) {
        Path out = folder.resolve("never");
        List<String> arguments = new ArrayList<>(List.of("--capture", trace.toString(), "--out", out.toString()));
        arguments.addAll(List.of(options.split(" ")));
        Run run = Run.sparrow(concat(List.of("train"), arguments));
        assertThat(run.code()).as("%s", run).isEqualTo(2);
        assertThat(run.err()).startsWith("sparrow: error: ").contains(message);
        assertThat(out).doesNotExist();
    }

    @Test
    void outputThatCannotBeWritten() {
        String below = text.resolve("below").toString();
        refused(below + ": cannot be written", "train", "--capture", trace.toString(), "--out", below);
        refused(below + ": cannot be written", "capture", MODEL, "--text", text.toString(), "--out", below);
        refused("holds no dictionaries", "train", "--capture", trace.toString(), "--out", folder.toString());
    }

    @Test
    void inputThatIsNoTrace() throws IOException {
        Path broken = folder.resolve("broken.arrow");
        Files.write(broken, Arrays.copyOf(Files.readAllBytes(trace), 5000));
        String out = folder.resolve("never").toString();
        refused(broken.toString(), "train", "--capture", broken.toString(), "--out", out);
        refused(text.toString(), "train", "--capture", text.toString(), "--out", out);
        refused("one or the other", "train", MODEL, "--capture", trace.toString(), "--out", out);
        refused("no text is given", "train", MODEL, "--out", out);
        for (String metric : List.of("best", "fisher:2", "fisher:", "fish")) {
            refused(
                    "--metric is '" + metric + "'",
                    "train",
                    MODEL,
                    "--text",
                    text.toString(),
                    "--metric",
                    metric,
                    "--out",
                    out);
        }
    }

    private static Run train(String... arguments) {
        return Run.sparrow(concat(
                List.of("train", "--latents", "64", "--steps", "4", "--batch", "128", "--budgets", "4,16"),
                List.of(arguments)));
    }

    private static Run generate(String... arguments) {
        Run run = Run.sparrow(concat(
                List.of(
                        "generate",
                        MODEL,
                        "--prompt",
                        PROMPT,
                        "--max-tokens",
                        "8",
                        "--dictionaries",
                        dictionaries.toString()),
                List.of(arguments)));
        assertThat(run.code()).as(run.err()).isZero();
        return run;
    }

    private static String fingerprint(Path set) {
        return Run.sparrow("info", MODEL, "--dictionaries", set.toString(), "--json")
                .json()
                .at("/dictionaries/fingerprint")
                .asString();
    }

    private static String[] concat(List<String> first, List<String> second) {
        return Stream.concat(first.stream(), second.stream()).toArray(String[]::new);
    }
}
