package io.sparrowkv.cli;

import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.io.InvalidInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How the key/value cache keeps and reads its tokens. */
public final class CacheArguments {
    /** Folder beside a model's files in which its dictionaries are looked for. */
    static final String DICTIONARIES = "dictionaries";

    /** How tokens beyond window and sinks are kept. */
    public enum Codec {
        /** As they are: the dense cache. */
        F16,
        /** As codes over the model's dictionaries. */
        SPARSE
    }

    @Option(
            names = "--codec",
            paramLabel = "NAME",
            defaultValue = "sparse",
            description = "sparse, or f16 for the dense cache (default: sparse).")
    private Codec codec;

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
    private BudgetArguments budgets;

    @Mixin
    private ThreadArguments threads;

    /** How tokens beyond window and sinks are kept. */
    public Codec codec() {
        return codec;
    }

    /** Name of the encoder, or {@link Encoders#AUTO}. */
    public String encoder() {
        return encoder;
    }

    /** Threads of each kind of work. */
    public int threads() {
        return threads.count();
    }

    /** The options as the cache takes them; it checks them against model and dictionaries itself. */
    public CacheOptions options() {
        return budgets.options(threads());
    }

    /**
     * The folder of the model's dictionaries.
     *
     * @throws InvalidInputException when none is given and the model's folder has none
     */
    public Path dictionaries(Path model) {
        return dictionaries.orElseGet(() -> {
            Path beside = model.resolve(DICTIONARIES);
            if (!Files.isDirectory(beside)) {
                throw new InvalidInputException(model + ": has no folder '" + DICTIONARIES
                        + "'; name one with --dictionaries, make one with 'sparrow train', or use --codec f16");
            }
            return beside;
        });
    }
}
