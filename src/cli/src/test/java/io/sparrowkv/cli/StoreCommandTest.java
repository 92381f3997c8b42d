package io.sparrowkv.cli;

import static io.sparrowkv.cli.BadInputTest.refused;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import io.sparrowkv.store.chronicle.StoreCounters;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
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

/** Stores from the command line, with the bundled model and its dictionaries. */
class StoreCommandTest {
    private static final String HOME = "sparrow.home";

    /** Characters of the prose that make some 400 tokens. */
    private static final int PROMPT_CHARACTERS = 1500;

    @TempDir
    private Path folder;

    private Path store;
    private Path prompt;

    @BeforeAll
    static void setHome() {
        System.setProperty(HOME, BadInputTest.repository().toString());
    }

    @AfterAll
    static void clearHome() {
        System.clearProperty(HOME);
    }

    @BeforeEach
    void writePrompt() throws IOException {
        store = folder.resolve("store");
        prompt = folder.resolve("prompt.txt");
        try (var prose = DemoCommand.class.getResourceAsStream("demo-prose.txt")) {
            Files.write(prompt, prose.readNBytes(PROMPT_CHARACTERS));
        }
    }

    @Test
    void aKnownPromptNeedsNoPrefillAndGivesTheSameText() throws IOException {
        JsonNode without = generate();
        JsonNode first = generate("--store", store.toString(), "--store-capacity", "64M");
        JsonNode second = generate("--store", store.toString());

        assertThat(without.at("/store").isObject()).isFalse();
        assertThat(first.at("/store/tokensReused").asInt()).isZero();
        int blocks = (second.at("/promptTokens").asInt() - 1 - 4) / 64;
        assertThat(blocks).isGreaterThan(3);
        assertThat(second.at("/store/blocksReused").asInt()).isEqualTo(blocks);
        assertThat(second.at("/store/tokensReused").asInt()).isEqualTo(4 + 64 * blocks);
        assertThat(second.at("/store/counters/damaged").asInt()).isZero();
        for (JsonNode run : List.of(first, second)) {
            assertThat(run.at("/text").asString()).isEqualTo(without.at("/text").asString());
            assertThat(run.at("/generatedTokens").asInt()).isEqualTo(60);
        }

        Files.writeString(prompt, Files.readString(prompt) + " And then");
        JsonNode longer = generate("--store", store.toString());
        assertThat(longer.at("/store/blocksReused").asInt()).isEqualTo(blocks);
        assertThat(longer.at("/text").asString())
                .isEqualTo(generate().at("/text").asString());
    }

    @Test
    void anEvaluationReadsAKnownBeginningFromTheStoreAndFindsTheSame() throws IOException {
        JsonNode without = evaluate();
        JsonNode first = evaluate("--store", store.toString(), "--store-capacity", "64M");
        JsonNode second = evaluate("--store", store.toString());

        assertThat(first.at("/store/tokensReused").asInt()).isZero();
        assertThat(second.at("/store/tokensReused").asInt()).isEqualTo(4 + 64 * 3);
        double kl = without.at("/evaluation/comparison/meanKl").asDouble();
        assertThat(kl).isPositive();
        for (JsonNode run : List.of(first, second)) {
            assertThat(run.at("/evaluation/comparison/meanKl").asDouble()).isCloseTo(kl, withinPercentage(1));
        }
    }

    @Test
    void whatAFullStoreEvictedIsSaid() {
        StringWriter said = new StringWriter();
        new StoreReport("/codes", 3, 196, 500, new StoreCounters(36, 0, 0, 90, 12, 3 << 20, 0))
                .print(new PrintWriter(said, true));
        assertThat(said.toString())
                .contains("/codes: 3 blocks reused, prefill of 196 of 500 tokens saved")
                .contains("12 blocks of older texts (3.00 MiB) were evicted");
    }

    @Test
    void aStoreOfOtherCodesIsRefusedWithBothValues() {
        json("store", "create", store.toString(), "--capacity", "64M", "--window", "64");
        refused("window is 64, this run's 128", "generate", "--prompt", "Once", "--store", store.toString());
        refused("holds a store already", "store", "create", store.toString());
        refused("--codec f16", "generate", "--prompt", "Once", "--codec", "f16", "--store", store.toString());
        refused("--codec dense", "generate", "--prompt", "Once", "--codec", "dense", "--store", store.toString());
        refused("--sync is 'never'", "generate", "--prompt", "Once", "--sync", "never", "--store", store.toString());
    }

    @Test
    void whereNoStoreCanBeGenerationGoesOnWithOneWarning() throws IOException {
        Files.writeString(store, "a file where the folder should be");
        PrintStream err = System.err; // where log lines go
        ByteArrayOutputStream log = new ByteArrayOutputStream();
        System.setErr(new PrintStream(log, true, StandardCharsets.UTF_8));
        try {
            Run run = Run.sparrow(
                    "generate", "--prompt", "Once upon a time", "--max-tokens", "4", "--store", store.toString());
            assertThat(run.code()).as("%s", run).isZero();
        } finally {
            System.setErr(err);
        }
        assertThat(log.toString(StandardCharsets.UTF_8).lines().filter(line -> line.contains("warning")))
                .containsExactly("sparrow: warning: " + store
                        + ": going on without the store (a file of that name is in the way)");
    }

    @Test
    void aStoreIsMadeLookedIntoCheckedAndEmptied() throws IOException {
        JsonNode made = json("store", "create", store.toString(), "--capacity", "64M");
        assertThat(made.at("/fileBytes").asLong()).isBetween(32L << 20, 64L << 20);
        generate("--store", store.toString());

        JsonNode stat = json("store", "stat", store.toString());
        assertThat(stat.at("/sequences").asInt()).isEqualTo(1);
        assertThat(stat.at("/manifest/profile/codec").asString()).isEqualTo("sparse/1");
        long blocks = stat.at("/blocks").asLong();
        assertThat(blocks)
                .isPositive()
                .isEqualTo(
                        json("store", "verify", store.toString()).at("/blocks").asLong());
        JsonNode listed = json("store", "ls", store.toString()).at("/sequences/0");
        assertThat(listed.at("/resumable").asBoolean()).isTrue();
        assertThat(listed.at("/tokens").asLong()).isEqualTo(4 + 64 * (blocks / 12));
        String file = folder.resolve("store.arrow").toString();
        JsonNode written = json("store", "export", store.toString(), file, "--compression", "zstd");
        assertThat(written.at("/written/blocks").asLong()).isEqualTo(blocks);
        String copy = folder.resolve("copy").toString();
        json("store", "create", copy, "--capacity", "48M");
        JsonNode read = json("store", "import", copy, file);
        assertThat(read.at("/read/prefixes")).isEqualTo(written.at("/written/prefixes"));
        assertThat(read.at("/read/dense")).isEqualTo(written.at("/written/dense"));
        assertThat(json("store", "stat", copy).at("/blocks").asLong()).isEqualTo(blocks);

        assertThat(json("store", "evict", store.toString(), "--blocks", "1")
                        .at("/blocksOfTokens")
                        .asLong())
                .isEqualTo(1);
        assertThat(json("store", "stat", store.toString()).at("/blocks").asLong())
                .isEqualTo(blocks - 12);
        json("store", "evict", store.toString());
        assertThat(json("store", "stat", store.toString()).at("/blocks").asLong())
                .isZero();
    }

    @Test
    void whatIsNoStoreIsRefused() {
        for (String command : List.of("stat", "ls", "verify", "evict")) {
            refused("is no store", "store", command, folder.toString());
        }
        refused("--capacity", "store", "create", store.toString(), "--capacity", "large");
        refused("too small for this model", "store", "create", store.toString(), "--capacity", "1M");
        refused("does not fit", "store", "create", store.toString(), "--capacity", "900T");
        refused(
                "no such file",
                "store",
                "import",
                made("empty"),
                folder.resolve("none").toString());
        refused(
                "is truncated or damaged",
                "store",
                "import",
                folder.resolve("empty").toString(),
                prompt.toString());
        refused("--compression", "store", "export", store.toString(), "x", "--compression", "rar");
        refused("--blocks 0", "store", "evict", store.toString(), "--blocks", "0");
    }

    private String made(String name) {
        String made = folder.resolve(name).toString();
        json("store", "create", made, "--capacity", "48M");
        return made;
    }

    private JsonNode generate(String... options) {
        List<String> arguments =
                new ArrayList<>(List.of("generate", "--prompt-file", prompt.toString(), "--max-tokens", "60"));
        arguments.addAll(List.of(options));
        return json(arguments.toArray(String[]::new));
    }

    private JsonNode evaluate(String... options) {
        List<String> arguments =
                new ArrayList<>(List.of("eval", "ppl", "--text", prompt.toString(), "--unscored", "200"));
        arguments.addAll(List.of(options));
        return json(arguments.toArray(String[]::new));
    }

    private static JsonNode json(String... arguments) {
        List<String> all = new ArrayList<>(List.of(arguments));
        all.add("--json");
        Run run = Run.sparrow(all.toArray(String[]::new));
        assertThat(run.code()).as(run.err()).isZero();
        return run.json();
    }
}
