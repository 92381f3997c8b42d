package io.sparrowkv.io;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TextFileTest {
    @TempDir
    Path folder;

    @Test
    void textComesBackAsItWasWritten() throws IOException {
        String text = "plain, ünïcödé, 漢字, 😀\r\nsecond line\n";
        assertThat(TextFile.read(file(text.getBytes(StandardCharsets.UTF_8)))).isEqualTo(text);
        assertThat(TextFile.read("stdin", new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8))))
                .isEqualTo(text);
    }

    @Test
    void bytesThatAreNotUtf8AreNamedByTheirPlace() throws IOException {
        byte[] bytes = "über".getBytes(StandardCharsets.ISO_8859_1);
        byte[] later = ("é".repeat(3) + "x").getBytes(StandardCharsets.UTF_8);
        later[6] = (byte) 0xff;
        refused(file(bytes), "not UTF-8 at byte 0 (0xfc)");
        refused(file(later), "not UTF-8 at byte 6 (0xff)");
    }

    @Test
    void aCharacterCutOffAtTheEndIsRefused() throws IOException {
        refused(file(new byte[] {'a', (byte) 0xe6, (byte) 0xbc}), "not UTF-8 at byte 1 (0xe6)");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", " \n\t "})
    void textWithoutTextIsRefused(String text) throws IOException {
        refused(file(text.getBytes(StandardCharsets.UTF_8)), "holds no text");
    }

    @Test
    void missingFilesAndFoldersAreRefused() {
        refused(folder.resolve("none.txt"), "no such file");
        refused(folder, "is a folder");
    }

    private Path file(byte[] bytes) throws IOException {
        return Files.write(folder.resolve("text.txt"), bytes);
    }

    private static void refused(Path file, String reason) {
        assertThatThrownBy(() -> TextFile.read(file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageStartingWith(file + ": ")
                .hasMessageContaining(reason);
    }
}
