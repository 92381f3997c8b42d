package io.sparrowkv.llm.model;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;

/** Data beside the checkout that is too large or not free enough to lie in it; a test that needs it is skipped where it is absent. */
public final class SharedData {
    private SharedData() {}

    /** A file or folder of {@code shared}; skips the calling test when it is absent. */
    public static Path require(String name) {
        Path folder = Path.of("").toAbsolutePath();
        while (folder != null && !Files.isDirectory(folder.resolveSibling("shared"))) {
            folder = folder.getParent();
        }
        Path path = folder == null ? null : folder.resolveSibling("shared").resolve(name);
        assumeTrue(path != null && Files.exists(path), () -> "skipped: no shared/" + name + " beside the checkout");
        return path;
    }
}
