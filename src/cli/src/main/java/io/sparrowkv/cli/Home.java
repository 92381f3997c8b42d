package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** The checkout that runs, and the model and dictionaries that lie in it. */
final class Home {
    /** Set by the launcher. */
    private static final String PROPERTY = "sparrow.home";

    /** Set by the launcher: home of the TornadoVM SDK that it found, or empty. */
    static final String TORNADOVM = "sparrow.tornadovm";

    /** Set where the model runtime was left out: "true". */
    static final String ENCODE_ONLY = "sparrow.encode-only";

    private static final String MODEL = "models/gutenberg-7m";

    private Home() {}

    /** The folder of the bundled model, when it is there. */
    static Optional<Path> bundledModel() {
        return root().map(root -> root.resolve(MODEL)).filter(Files::isDirectory);
    }

    /** The folder of the bundled model's dictionaries, when it is there. */
    static Optional<Path> bundledDictionaries() {
        return bundledModel()
                .map(model -> model.resolve(DictionaryArguments.FOLDER))
                .filter(Files::isDirectory);
    }

    /** A folder made absent by name. */
    static InvalidInputException noBundledModel() {
        return new InvalidInputException(
                "no model is given and " + MODEL + " is not beside the launcher; name a model folder");
    }

    /** The folder of the launcher, when it was started through one. */
    static Optional<Path> root() {
        return Optional.ofNullable(System.getProperty(PROPERTY)).map(Path::of);
    }
}
