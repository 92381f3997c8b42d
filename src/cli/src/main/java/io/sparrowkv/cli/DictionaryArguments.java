package io.sparrowkv.cli;

import io.sparrowkv.encode.Encoders;
import io.sparrowkv.io.InvalidInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Which dictionaries are used, and what encodes with them. */
final class DictionaryArguments {
    /** Folder beside a model's files in which its dictionaries are looked for. */
    static final String FOLDER = "dictionaries";

    @Option(
            names = "--dictionaries",
            paramLabel = "DIR",
            description = "The model's dictionaries (default: the folder 'dictionaries' in the model's).")
    private Optional<Path> dictionaries = Optional.empty();

    @Option(
            names = "--encoder",
            paramLabel = "NAME",
            defaultValue = Encoders.AUTO,
            description = "Encoder, as 'sparrow info' lists them (default: auto).")
    private String encoder;

    @Mixin
    private ThreadArguments threads;

    /** Name of the encoder, or {@link Encoders#AUTO}. */
    String encoder() {
        return encoder;
    }

    /** Threads of each kind of work. */
    int threads() {
        return threads.count();
    }

    /**
     * The folder of the model's dictionaries.
     *
     * @throws InvalidInputException when none is given and the model's folder has none
     */
    Path folder(Path model) {
        return dictionaries.orElseGet(() -> {
            Path beside = model.resolve(FOLDER);
            if (!Files.isDirectory(beside)) {
                throw new InvalidInputException(model + ": has no folder '" + FOLDER
                        + "'; name one with --dictionaries, make one with 'sparrow train', or use --codec dense");
            }
            return beside;
        });
    }
}
