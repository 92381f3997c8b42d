package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.io.TextFile;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/** Where a prompt comes from: an option, a file, or stdin. */
final class PromptArguments {
    @Option(names = "--prompt", paramLabel = "TEXT", description = "The prompt (default: all of stdin).")
    private Optional<String> prompt = Optional.empty();

    @Option(names = "--prompt-file", paramLabel = "FILE", description = "Read the prompt from a UTF-8 file.")
    private Optional<Path> file = Optional.empty();

    /** @throws InvalidInputException when two sources are named, or the text is empty or not UTF-8 */
    String text() {
        if (prompt.isPresent() && file.isPresent()) {
            throw new InvalidInputException("--prompt and --prompt-file are both given; give one");
        }
        if (prompt.isPresent()) {
            if (prompt.get().isBlank()) {
                throw new InvalidInputException("--prompt: holds no text");
            }
            return prompt.get();
        }
        return file.map(TextFile::read).orElseGet(() -> TextFile.read("stdin", System.in));
    }
}
