package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Looks at where results will go before the work begins, so that none is done in vain. */
final class OutputPaths {
    private OutputPaths() {}

    /**
     * Refuses a place beside which nothing can be written; makes the folders above it.
     *
     * @throws InvalidInputException when the folder above cannot be made or written
     */
    static void requireWritable(Path target) {
        Path above = target.toAbsolutePath().normalize().getParent();
        try {
            if (above == null) {
                throw new InvalidInputException(target + ": is the root of a file system; name a place below it");
            }
            Files.createDirectories(above);
            Files.delete(Files.createTempFile(above, ".sparrow", ".tmp"));
        } catch (IOException e) {
            String reason = e instanceof AccessDeniedException ? "permission denied" : e.toString();
            throw new InvalidInputException(
                    target + ": cannot be written (" + reason + "); choose a folder that can be written", e);
        }
    }

    /** A file beside {@code target} whose name is its name and {@code suffix}. */
    static Path beside(Path target, String suffix) {
        Path absolute = target.toAbsolutePath().normalize();
        return absolute.resolveSibling(absolute.getFileName() + suffix);
    }
}
