package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** The commands that read the bundled model with its bundled dictionaries. */
class EvaluationCommandsTest {
    private static final String HOME = "sparrow.home";

    @TempDir
    private Path folder;

    /** The profile beside the bundled dictionaries. */
    private static final Path RECOMMENDED =
            Path.of("..", "..", "models", "gutenberg-7m", "dictionaries", RecommendedCodes.FILE);

    @BeforeAll
    static void setHome() {
        System.setProperty(
                HOME, Path.of("..", "..").toAbsolutePath().normalize().toString());
    }

    @AfterAll
    static void clearHome() {
        System.clearProperty(HOME);
    }

    @Test
    void theDemoTellsWhatEachCacheAnswersAndDrawsAChart() throws Exception {
        Path chart = folder.resolve("chart.png");
        Run run = Run.sparrow("demo", "--facts", "2", "--json", "--chart", chart.toString());

        assertThat(run.code()).as(run.err()).isZero();
        JsonNode result = run.json();
        assertThat(result.at("/answers")).hasSize(2);
        for (JsonNode answer : result.at("/answers")) {
            assertThat(answer.at("/dense").asString())
                    .startsWith(answer.at("/fact/number").asString());
        }
        assertThat(result.at("/evaluation/comparison/meanKl").asDouble()).isBetween(0.001, 0.2);
        double former = 0;
        for (JsonNode at : result.at("/fidelity")) {
            if (at.at("/budget").asInt() <= 32) {
                assertThat(at.at("/valueCosine").asDouble()).isGreaterThan(former);
                former = at.at("/valueCosine").asDouble();
            }
        }
        assertThat(chart).isNotEmptyFile();
    }

    @Test
    void perplexityWithAWindowLongerThanTheTextIsTheDenseOne() throws Exception {
        JsonNode result = perplexity("--window", "2048");
        assertThat(result.at("/evaluation/comparison/meanKl").asDouble()).isLessThan(1e-6);
    }

    @Test
    void moreBudgetComesCloserToTheDenseModel() throws Exception {
        double small = perplexity("--budget-key", "4", "--budget-value", "4", "--refine", "pursuit:64")
                .at("/evaluation/comparison/meanKl")
                .asDouble();
        double large = perplexity("--profile", "recommended")
                .at("/evaluation/comparison/meanKl")
                .asDouble();
        assertThat(large).isLessThan(0.75 * small);
    }

    @Test
    void everySiteOfTheModelIsReported() throws Exception {
        JsonNode result = json("eval", "sites", "--text", text().toString());
        assertThat(result.at("/sites")).hasSize(12);
        for (JsonNode site : result.at("/sites")) {
            assertThat(site.at("/fidelity/0/cosine").asDouble()).isBetween(0.2, 1.0);
        }
    }

    @Test
    void aTextShorterThanAskedIsRefused() throws Exception {
        Run run = Run.sparrow("eval", "ppl", "--text", text().toString(), "--tokens", "100000");
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.err()).contains("text.txt").contains("100000").contains("--tokens");
    }

    @Test
    void codecsAreComparedByBytesPredictionsAndPasskeys() throws Exception {
        Path page = folder.resolve("page.html");
        Path chart = folder.resolve("codecs.png");
        JsonNode result = json(
                "eval",
                "codecs",
                "--text",
                text().toString(),
                "--context",
                "1024",
                "--tokens",
                "1024",
                "--passkeys",
                "2",
                "--codecs",
                "f16,q4_0,rotated-1,sparse:8/16,sparse:8/16+pursuit:64,sparse:16/16+pursuit:64+4bit,kvtc:60,profile:"
                        + RECOMMENDED + ",rotated-1+3:rotated-4+4:rotated-4,kvtc:30,sparse:24/24+pursuit:64:0.25+4bit",
                "--kvtc-text",
                text().toString(),
                "--chart",
                chart.toString(),
                "--page",
                page.toString());
        assertThat(result.at("/rows")).hasSize(11);
        double[] bytes = {512, 144, 36, 96, 96, 68};
        for (int i = 0; i < bytes.length; i++) {
            assertThat(result.at("/rows/" + i + "/vectorBytes").asDouble()).isEqualTo(bytes[i]);
            assertThat(result.at("/rows/" + i + "/evaluation/layerErrors")).hasSize(6);
        }
        assertThat(kl(result, 0)).isLessThan(1e-5);
        assertThat(kl(result, 1)).isGreaterThan(kl(result, 0)).isLessThan(kl(result, 2));
        assertThat(kl(result, 4)).isLessThan(kl(result, 3));
        assertThat(kl(result, 5)).isLessThan(kl(result, 4));
        assertThat(result.at("/rows/6/vectorBytes").asDouble()).isBetween(52.0, 66.0);
        assertThat(kl(result, 6)).isLessThan(kl(result, 2));
        assertThat(result.at("/rows/7/vectorBytes").asDouble()).isBetween(60.0, 68.0);
        assertThat(kl(result, 7)).isLessThan(kl(result, 5));
        assertThat(result.at("/rows/8/vectorBytes").asDouble()).isEqualTo((4 * 36 + 2 * 132) / 6.0);
        assertThat(kl(result, 8)).isLessThan(kl(result, 2));
        assertThat(result.at("/rows/9/vectorBytes").asDouble()).isBetween(24.0, 36.0);
        assertThat(kl(result, 9)).isGreaterThan(kl(result, 6));
        assertThat(result.at("/rows/10/vectorBytes").asDouble()).isBetween(30.0, 60.0);
        assertThat(kl(result, 10)).isLessThan(kl(result, 4));
        assertThat(result.at("/rows/0/passkeys/exact").asInt())
                .isEqualTo(result.at("/dense/exact").asInt());
        assertThat(result.at("/dense/cases").asInt()).isEqualTo(2);
        assertThat(page)
                .content()
                .contains("rotated-1", "data:image/png;base64,", "bytes by part", "layer 5")
                .doesNotContain("http");
        assertThat(chart).isNotEmptyFile();
    }

    private static double kl(JsonNode result, int row) {
        return result.at("/rows/" + row + "/evaluation/comparison/meanKl").asDouble();
    }

    @Test
    void passkeysAreAskedThroughEachCache() throws Exception {
        JsonNode result = json(
                "eval",
                "passkey",
                "--text",
                text().toString(),
                "--context",
                "900",
                "--passkeys",
                "8",
                "--dictionaries",
                folder.resolve("none").toString(), // quantizers need none
                "--codecs",
                "f16,rotated-1");
        assertThat(result.at("/scores")).hasSize(3);
        assertThat(result.at("/scores/0/name").asString()).isEqualTo("dense");
        assertThat(result.at("/scores/0/cases").asInt()).isEqualTo(8);
        assertThat(result.at("/scores/1/exact").asInt())
                .isEqualTo(result.at("/scores/0/exact").asInt());
        assertThat(result.at("/scores/2/digitsFound").asInt())
                .isLessThan(result.at("/scores/0/digitsFound").asInt());
    }

    @Test
    void codecsThatAreNoneAndTextsThatAreTooShortAreRefused() throws Exception {
        Run unknown = Run.sparrow("eval", "codecs", "--text", text().toString(), "--codecs", "q5_1");
        assertThat(unknown.code()).isEqualTo(2);
        assertThat(unknown.err()).contains("q5_1").contains("sparse:8/16");
        Run twice = Run.sparrow("eval", "passkey", "--text", text().toString(), "--codecs", "f16,f16");
        Run bits = Run.sparrow("eval", "passkey", "--text", text().toString(), "--codecs", "sparse:8/8+5bit");
        assertThat(bits.code()).isEqualTo(2);
        assertThat(bits.err()).contains("'5'").contains("4");
        for (String layers :
                List.of("rotated-1+3", "rotated-1+3:q5_1", "rotated-1+3:q4_0+3:q4_0", "rotated-1+6:q4_0")) {
            Run refused = Run.sparrow("eval", "passkey", "--text", text().toString(), "--codecs", layers);
            assertThat(refused.code()).as(refused.err()).isEqualTo(2);
        }
        Run profile = Run.sparrow("eval", "passkey", "--text", text().toString(), "--codecs", "profile:none.json");
        assertThat(profile.code()).isEqualTo(2);
        assertThat(profile.err()).contains("none.json: no such file");
        assertThat(twice.code()).isEqualTo(2);
        assertThat(twice.err()).contains("named twice");
        Run narrow = Run.sparrow("eval", "passkey", "--text", text().toString(), "--context", "200");
        assertThat(narrow.code()).isEqualTo(2);
        assertThat(narrow.err()).contains("200").contains("600");
    }

    private JsonNode perplexity(String... options) throws Exception {
        String[] arguments = new String[options.length + 4];
        System.arraycopy(new String[] {"eval", "ppl", "--text", text().toString()}, 0, arguments, 0, 4);
        System.arraycopy(options, 0, arguments, 4, options.length);
        return json(arguments);
    }

    private static JsonNode json(String... arguments) {
        String[] all = new String[arguments.length + 1];
        System.arraycopy(arguments, 0, all, 0, arguments.length);
        all[arguments.length] = "--json";
        Run run = Run.sparrow(all);
        assertThat(run.code()).as(run.err()).isZero();
        return run.json();
    }

    /** Prose of the demo: about 1,100 tokens. */
    private Path text() throws Exception {
        Path file = folder.resolve("text.txt");
        try (var prose = DemoCommand.class.getResourceAsStream("demo-prose.txt")) {
            Files.write(file, prose.readAllBytes());
        }
        return file;
    }
}
