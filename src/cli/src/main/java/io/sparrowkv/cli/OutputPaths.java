package io.sparrowkv.cli;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.DictionaryFiles;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

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

    /**
     * Refuses a folder that dictionaries cannot be written to, or that holds something else.
     *
     * @throws InvalidInputException when it holds other files, or the folder above cannot be written
     */
    static void requireDictionaryFolder(Path folder) {
        requireWritable(folder);
        if (!Files.exists(folder) || Files.exists(folder.resolve(DictionaryFiles.MANIFEST))) {
            return;
        }
        try (Stream<Path> files = Files.list(folder)) {
            if (files.findAny().isPresent()) {
                throw new InvalidInputException(
                        folder
                                + ": exists and holds no dictionaries; choose a new folder, or one with dictionaries to replace");
            }
        } catch (IOException e) {
            throw new InvalidInputException(folder + ": is no folder that can be read; choose another place", e);
        }
    }

    /** Removes a file that is no longer of use. */
    static void deleteIfThere(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** A file beside {@code target} whose name is its name and {@code suffix}. */
    static Path beside(Path target, String suffix) {
        Path absolute = target.toAbsolutePath().normalize();
        return absolute.resolveSibling(absolute.getFileName() + suffix);
    }
}
