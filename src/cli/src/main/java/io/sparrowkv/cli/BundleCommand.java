package io.sparrowkv.cli;

import io.sparrowkv.io.FolderTree;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Writes a folder that runs on a machine without Java. */
@Command(
        name = "bundle",
        description = {
            "Write a folder that runs on a machine without Java, to carry Sparrow KV to a GPU host.",
            "It is for machines of this one's system and processor. A TornadoVM SDK that is installed here goes with it."
        },
        sortOptions = false)
final class BundleCommand implements Runnable {
    @Option(names = "--out", paramLabel = "DIR", required = true, description = "Folder to write; new or empty.")
    private Path out;

    @Option(
            names = "--encode-only",
            description =
                    "Leave the model runtime and the persistent store out: info, devices, bench encode and bench soak remain.")
    private boolean encodeOnly;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        Path target = out.toAbsolutePath().normalize();
        OutputPaths.requireWritable(target);
        requireEmpty(target);
        Bundle bundle = Bundle.ofThisProcess(encodeOnly);
        Path beside = OutputPaths.beside(target, ".part");
        try {
            FolderTree.delete(beside);
            try {
                bundle.write(beside);
                Files.deleteIfExists(target);
                Files.move(beside, target);
            } finally {
                FolderTree.delete(beside);
            }
            output.emit(new Result(
                    "bundle",
                    target.toString(),
                    FolderTree.size(target),
                    encodeOnly,
                    bundle.tornadoVm().isPresent()));
        } catch (IOException e) {
            throw new InvalidInputException("--out " + out + ": cannot be written (" + e.getMessage() + ")", e);
        }
    }

    private void requireEmpty(Path target) {
        if (!Files.exists(target)) {
            return;
        }
        if (!Files.isDirectory(target)) {
            throw new InvalidInputException("--out " + out + ": is a file; name a folder");
        }
        try (Stream<Path> entries = Files.list(target)) {
            if (entries.findAny().isPresent()) {
                throw new InvalidInputException("--out " + out + ": is not empty; name a new folder");
            }
        } catch (IOException e) {
            throw new InvalidInputException("--out " + out + ": cannot be read (" + e.getMessage() + ")", e);
        }
    }

    /**
     * What was written.
     *
     * @param bytes of all files, not packed
     * @param tornadoVm whether the kernels and TornadoVM are part of it
     */
    record Result(String command, String folder, long bytes, boolean encodeOnly, boolean tornadoVm) implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "%s: %s, %s, %s%n",
                    folder,
                    Quantities.bytes(bytes),
                    encodeOnly ? "for encoding only" : "complete",
                    tornadoVm ? "with TornadoVM" : "without TornadoVM, of which no SDK is installed here");
            out.printf("Run it with %s/sparrow%n", folder);
        }
    }
}
