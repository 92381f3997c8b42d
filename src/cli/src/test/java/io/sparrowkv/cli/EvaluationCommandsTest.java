package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
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
        double small = perplexity("--budget-key", "4", "--budget-value", "4")
                .at("/evaluation/comparison/meanKl")
                .asDouble();
        double large = perplexity("--budget-key", "32", "--budget-value", "32")
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
