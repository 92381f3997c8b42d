package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Each thing that cannot be used: one clear line, exit code 2, nothing on stdout and nothing half-written. */
class BadInputTest {
    private static final Path BUNDLED = repository().resolve("models/gutenberg-7m");

    @TempDir
    Path folder;

    private Path model;

    @BeforeEach
    void copyModel() throws IOException {
        model = Files.createDirectory(folder.resolve("model"));
        try (Stream<Path> files = Files.list(BUNDLED)) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                Files.copy(file, model.resolve(file.getFileName()));
            }
        }
    }

    @Test
    void aMissingModelFolder() {
        refused("no such folder", "generate", folder.resolve("none").toString(), "--prompt", "x");
        refused("no such folder", "info", folder.resolve("none").toString());
    }

    @Test
    void missingWeights() throws IOException {
        Files.delete(model.resolve("model.safetensors"));
        refused("model.safetensors", "generate", model.toString(), "--prompt", "x");
    }

    @Test
    void truncatedWeights() throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(weights().toFile(), "rw")) {
            file.setLength(file.length() - 1000);
        }
        refused("model.safetensors", "generate", model.toString(), "--prompt", "x");
    }

    @Test
    void aHeaderLongerThanTheFile() throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(weights().toFile(), "rw")) {
            byte[] length = ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(Long.MAX_VALUE)
                    .array();
            file.write(length);
        }
        refused("model.safetensors", "info", model.toString());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "\"num_hidden_layers\": 6 | \"num_hidden_layers\": -3 | num_hidden_layers",
                "\"num_hidden_layers\": 6 | \"num_hidden_layers\": 7 | model.layers.6",
                "\"num_key_value_heads\": 2 | \"num_key_value_heads\": 3 | num_key_value_heads",
                "\"model_type\": \"llama\" | \"model_type\": \"gpt_oss\" | gpt_oss",
                "\"vocab_size\": 4096 | \"vocab_size\": 8192 | embed_tokens",
                "{ | [ | config.json",
            })
    void anAbsurdConfiguration(String found, String absurd, String message) throws IOException {
        Path config = model.resolve("config.json");
        String text = Files.readString(config);
        assertThat(text).contains(found);
        Files.writeString(config, text.replace(found, absurd));
        refused(message, "generate", model.toString(), "--prompt", "x");
    }

    @Test
    void aTokenizerOfAnotherModel() throws IOException {
        Path tokenizer = model.resolve("tokenizer.json");
        String text = Files.readString(tokenizer);
        String changed = text.replaceFirst("\"id\":\\s*\\d+", "\"id\": 99999");
        assertThat(changed).isNotEqualTo(text);
        Files.writeString(tokenizer, changed);
        refused("token id 99999", "generate", model.toString(), "--prompt", "x");
        Files.writeString(tokenizer, "{}");
        refused("tokenizer.json", "generate", model.toString(), "--prompt", "x");
    }

    @Test
    void textThatIsNoText() throws IOException {
        Path text = folder.resolve("text.txt");
        Files.write(text, "na\u00efve".getBytes(StandardCharsets.ISO_8859_1));
        refused(text + ": not UTF-8 at byte 2 (0xef)", "generate", model.toString(), "--prompt-file", text.toString());
        Files.writeString(text, "");
        refused(text + ": holds no text", "generate", model.toString(), "--prompt-file", text.toString());
        refused("--prompt: holds no text", "generate", model.toString(), "--prompt", " ");
        refused("give one", "generate", model.toString(), "--prompt", "a", "--prompt-file", text.toString());
        refused(
                "no such file",
                "generate",
                model.toString(),
                "--prompt-file",
                folder.resolve("no").toString());
    }

    @Test
    void aContextBeyondTheModelsLimit() {
        refused("2048", "generate", model.toString(), "--prompt", "x", "--max-tokens", "2048", "--codec", "dense");
        refused("--max-context", "generate", model.toString(), "--prompt", "x", "--max-context", "10");
    }

    @Test
    void tooLittleMemoryForTheContext() {
        String tokens = Integer.toString(1_500_000_000);
        refused(
                "GB of memory",
                "generate",
                model.toString(),
                "--prompt",
                "x",
                "--max-tokens",
                tokens,
                "--max-context",
                "2000000000",
                "--codec",
                "dense");
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "--max-tokens 0 | --max-tokens 0: must be at least 1",
                "--temperature -1 | --temperature",
                "--top-p 0 | --top-p",
                "--layer-budget 3:16/32 | '3:16/32' is not LAYER=KEY/VALUE",
                "--refine omp | 'omp' is no refinement; choose none, refit or pursuit:C",
                "--refine pursuit:64:1.5 | above 0 and below 1, such as pursuit:64:0.2",
                "--codec zip | --codec",
                "--threads 0 | --threads 0",
            })
    void optionsOutOfRange(String options, String message) {
        String[] arguments = ("generate\t" + model + "\t--prompt\tx\t" + options.replace(' ', '\t')).split("\t");
        refused(message, arguments);
    }

    @Test
    void whatNoDeviceHereCanMeasure() {
        refused("abacus cannot read codes", "bench", "attention", "--reader", "abacus");
        refused("--minutes 0.0: must be", "bench", "soak", "--minutes", "0");
    }

    private Path weights() {
        return model.resolve("model.safetensors");
    }

    static void refused(String message, String... arguments) {
        Run run = Run.sparrow(arguments);
        assertThat(run.code()).as("%s", run).isEqualTo(2);
        assertThat(run.err()).startsWith("sparrow: error: ").contains(message);
        assertThat(run.err().lines()).hasSize(1);
        assertThat(run.out()).isEmpty();
    }

    static Path repository() {
        Path here = Path.of("").toAbsolutePath();
        while (!Files.exists(here.resolve("sparrow"))) {
            here = here.getParent();
        }
        return here;
    }
}
