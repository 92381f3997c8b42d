package io.sparrowkv.llm.tokenizer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.SharedData;
import io.sparrowkv.llm.model.TinyModel;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class TextTokenizerTest {
    private static final String TEXT = "Zwölf Boxkämpfer – 🦆🇪🇺 naïve 日本語\n\n  x";

    @TempDir
    Path folder;

    private TextTokenizer bytes() {
        TinyModel.llama().write(folder);
        return TextTokenizer.load(folder, TinyModel.VOCABULARY);
    }

    @Test
    void aByteIsATokenAndTextComesBack() {
        try (TextTokenizer tokenizer = bytes()) {
            int[] ids = tokenizer.encode(TEXT);
            assertThat(ids).hasSize(TEXT.getBytes(StandardCharsets.UTF_8).length);
            assertThat(tokenizer.decode(ids)).isEqualTo(TEXT);
            assertThat(tokenizer.encode("")).isEmpty();
            assertThat(tokenizer.encode("a<|end|>b")).containsExactly('a', TinyModel.END_OF_SEQUENCE, 'b');
            assertThat(tokenizer.decode(new int[] {'a', TinyModel.END_OF_SEQUENCE, 'b'}))
                    .isEqualTo("ab");
        }
    }

    @Test
    void streamedTextNeverEndsWithinACharacter() {
        try (TextTokenizer tokenizer = bytes()) {
            TextStream stream = tokenizer.stream(tokenizer.encode("before"));
            StringBuilder text = new StringBuilder();
            for (int id : tokenizer.encode(TEXT)) {
                String piece = stream.append(id);
                assertThat(piece).doesNotContain("\uFFFD");
                text.append(piece);
                assertThat(TEXT).startsWith(text.toString());
            }
            assertThat(text + stream.finish()).isEqualTo(TEXT);
        }
    }

    @Test
    void halfACharacterAtTheEndIsGivenOnlyWhenTheTextIsFinished() {
        try (TextTokenizer tokenizer = bytes()) {
            TextStream stream = tokenizer.stream(new int[0]);
            assertThat(stream.append('a')).isEqualTo("a");
            assertThat(stream.append(0xF0)).isEmpty();
            assertThat(stream.append(0x9F)).isEmpty();
            assertThat(stream.finish()).isEqualTo("\uFFFD");
            assertThat(stream.finish()).isEmpty();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"models/gutenberg-7m", "models/tinystories-656k"})
    void streamingAModelsOwnTokensGivesTheTextOfAllAtOnce(String model) {
        Path path = SharedData.require(model);
        String text = "Once upon a time, a little duck saw 3 boats. \"Hello!\" it said.\nThe end – naïve 🦆.";
        try (TextTokenizer tokenizer = TextTokenizer.load(path, 4096)) {
            int[] ids = tokenizer.encode(text);
            int[] context = Arrays.copyOf(ids, 5);
            TextStream stream = tokenizer.stream(context);
            StringBuilder streamed = new StringBuilder(tokenizer.decode(context));
            for (int id : Arrays.copyOfRange(ids, 5, ids.length)) {
                streamed.append(stream.append(id));
            }
            assertThat(streamed.append(stream.finish())).hasToString(tokenizer.decode(ids));
        }
    }

    @Test
    void aLongTextHasTheTokensOfTheTextInOnePiece() throws IOException {
        Path model = SharedData.require("models/gutenberg-7m");
        String text = Files.readString(SharedData.require("data/gutenberg/heldout.txt"));
        String longer = text + "\n\nA  b\n\n\nC\n" + text.substring(0, 200_000);
        try (TextTokenizer tokenizer = TextTokenizer.load(model, 4096)) {
            assertThat(Arrays.equals(tokenizer.encode(longer), tokenizer.encode(longer, true)))
                    .isTrue();
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{ | is not JSON",
                "[] | is not a JSON object",
                "{} | model is missing",
                "{\"model\": {\"type\": \"BPE\"}} | model.vocab is missing",
                "{\"model\": {\"type\": \"Nothing\", \"vocab\": {\"a\": 0}}} | is not a tokenizer that can be used",
                "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 320}, \"merges\": []}} | has token id 320 where the model's vocab_size is 320",
                "{\"added_tokens\": [{\"id\": 400}], \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 3}, \"merges\": []}} | has token id 400",
            })
    void aTokenizerThatDoesNotFitIsOneLineThatNamesTheFile(String json, String expected) throws IOException {
        Files.writeString(folder.resolve(TextTokenizer.FILE), json);
        assertThatThrownBy(() -> TextTokenizer.load(folder, 320).close())
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("tokenizer.json", expected)
                .message()
                .doesNotContain("\n");
    }

    @Test
    void aMissingTokenizerIsNamed() {
        assertThatThrownBy(() -> TextTokenizer.load(folder, 320).close())
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("tokenizer.json", "no such file");
    }
}
