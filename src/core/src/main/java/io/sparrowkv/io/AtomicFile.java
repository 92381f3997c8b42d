package io.sparrowkv.io;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * A file that appears whole or not at all: written beside its target, forced to disk, and moved into place by {@link #commit}.
 * Closing without a commit removes what was written.
 */
public final class AtomicFile implements AutoCloseable {
    private final Path target;
    private final Path beside;
    private final FileChannel channel;
    private boolean committed;

    private AtomicFile(Path target, Path beside, FileChannel channel) {
        this.target = target;
        this.beside = beside;
        this.channel = channel;
    }

    /**
     * Opens a file to be written beside {@code target}; missing parent folders are made.
     *
     * @throws InvalidInputException when the folder cannot be made or written
     */
    public static AtomicFile create(Path target) {
        Path absolute = target.toAbsolutePath();
        Path folder = absolute.getParent();
        try {
            if (Files.isDirectory(absolute)) {
                throw new InvalidInputException(target + ": is a folder; name a file to write");
            }
            Files.createDirectories(folder);
            Path beside = folder.resolve(
                    "." + absolute.getFileName() + "." + ProcessHandle.current().pid() + ".tmp");
            FileChannel channel = FileChannel.open(
                    beside,
                    StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING,
                    StandardOpenOption.READ,
                    StandardOpenOption.WRITE);
            return new AtomicFile(absolute, beside, channel);
        } catch (IOException e) {
            throw unwritable(target, e);
        }
    }

    /** Writes {@code content} to {@code target} in one step. */
    public static void write(Path target, byte[] content) {
        try (AtomicFile file = create(target)) {
            file.stream().write(content);
            file.commit();
        } catch (IOException e) {
            throw unwritable(target, e);
        }
    }

    /** The channel behind the file; it is this object's to close. */
    public FileChannel channel() {
        return channel;
    }

    /** An unbuffered stream over {@link #channel}. */
    public OutputStream stream() {
        return Channels.newOutputStream(channel);
    }

    /** Forces the content to disk and moves it into place. */
    public void commit() {
        try {
            channel.force(true);
            channel.close();
            try {
                Files.move(beside, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            } catch (AtomicMoveNotSupportedException e) {
                Files.move(beside, target, StandardCopyOption.REPLACE_EXISTING);
            }
            committed = true;
        } catch (IOException e) {
            throw unwritable(target, e);
        }
    }

    @Override
    public void close() {
        if (committed) {
            return;
        }
        try {
            channel.close();
            Files.deleteIfExists(beside);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static InvalidInputException unwritable(Path target, IOException e) {
        String reason = e instanceof AccessDeniedException ? "permission denied" : e.getMessage();
        return new InvalidInputException(
                target + ": cannot be written (" + reason + "); choose a folder that can be written", e);
    }
}
