package io.sparrowkv.io;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** Text to be read by a model: UTF-8, whole and not empty, or refused with the place where it breaks. */
public final class TextFile {
    private TextFile() {}

    /**
     * Reads a file.
     *
     * @throws InvalidInputException when it is missing, cannot be read, is empty, or is not UTF-8 (the message names the byte)
     */
    public static String read(Path file) {
        try {
            if (Files.isDirectory(file)) {
                throw new InvalidInputException(file + ": is a folder; name a text file");
            }
            return decode(file.toString(), Files.readAllBytes(file));
        } catch (NoSuchFileException e) {
            throw new InvalidInputException(file + ": no such file; name a text file", e);
        } catch (IOException e) {
            throw new InvalidInputException(file + ": cannot be read (" + e.getMessage() + ")", e);
        }
    }

    /**
     * Reads a stream to its end.
     *
     * @param name of the stream in messages, such as {@code stdin}
     * @throws InvalidInputException when it cannot be read, is empty, or is not UTF-8
     */
    public static String read(String name, InputStream in) {
        try {
            return decode(name, in.readAllBytes());
        } catch (IOException e) {
            throw new InvalidInputException(name + ": cannot be read (" + e.getMessage() + ")", e);
        }
    }

    private static String decode(String name, byte[] bytes) {
        CharsetDecoder decoder = StandardCharsets.UTF_8
                .newDecoder()
                .onMalformedInput(CodingErrorAction.REPORT)
                .onUnmappableCharacter(CodingErrorAction.REPORT);
        ByteBuffer in = ByteBuffer.wrap(bytes);
        CharBuffer out = CharBuffer.allocate(bytes.length); // UTF-8 has no fewer bytes than UTF-16 has chars
        CoderResult result = decoder.decode(in, out, true);
        if (result.isError()) {
            throw new InvalidInputException("%s: not UTF-8 at byte %d (0x%02x); convert the text to UTF-8"
                    .formatted(name, in.position(), bytes[in.position()] & 0xff));
        }
        String text = out.flip().toString();
        if (text.isBlank()) {
            throw new InvalidInputException(name + ": holds no text");
        }
        return text;
    }
}
