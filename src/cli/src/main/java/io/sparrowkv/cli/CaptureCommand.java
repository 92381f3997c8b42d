package io.sparrowkv.cli;

import io.sparrowkv.capture.CaptureTraceWriter;
import io.sparrowkv.capture.Tap;
import io.sparrowkv.capture.VectorOrigin;
import io.sparrowkv.cli.VectorArguments.LiveVectors;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.capture.ModelVectorSource;
import io.sparrowkv.report.Progress;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.safetensors.DType;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Writes a model's keys and values, as it reads a text, into an Arrow file. */
@Command(
        name = "capture",
        description = {
            "Write a model's keys and values, as it reads a text, into an Arrow IPC file.",
            "The file appears when it is complete; Ctrl-C leaves nothing behind."
        },
        sortOptions = false)
final class CaptureCommand implements Runnable {
    @Mixin
    private VectorArguments vectors;

    @Option(names = "--out", paramLabel = "FILE", required = true, description = "The file to write.")
    private Path out;

    @Option(names = "--layers", paramLabel = "LIST", description = "Layers, such as 0,2,4-6 (default: all).")
    private Optional<String> layers = Optional.empty();

    @Option(
            names = "--taps",
            paramLabel = "LIST",
            split = ",",
            description = "key_pre and key_post (keys before and after the rotary embedding), value (default: all).")
    private List<Tap> taps = List.of(Tap.values());

    @Option(names = "--dtype", paramLabel = "TYPE", defaultValue = "f32", description = "f16 or f32 (default: f32).")
    private DType dtype;

    @Mixin
    private ThreadArguments threads;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        if (dtype != DType.F16 && dtype != DType.F32) {
            throw new InvalidInputException("--dtype " + dtype + ": must be f16 or f32");
        }
        OutputPaths.requireWritable(out);
        try (LiveVectors live = vectors.open(threads.count())) {
            VectorOrigin origin = live.source().origin();
            List<Integer> chosen = layers.map(text -> LayerList.parse("--layers", text, origin.layers()))
                    .orElseGet(() -> IntStream.range(0, origin.layers()).boxed().toList());
            requireDiskSpace(live.source(), chosen);
            capture(live.source(), chosen);
        }
    }

    private void capture(ModelVectorSource source, List<Integer> chosen) {
        VectorOrigin origin = source.origin();
        Set<Tap> chosenTaps = EnumSet.copyOf(taps);
        long started = System.nanoTime();
        // Closed before the interruption, so that a file half-written is gone when the process ends.
        try (Interruption interruption = Interruption.watch();
                CaptureTraceWriter writer = CaptureTraceWriter.create(out, origin, chosen, chosenTaps, dtype);
                Progress progress = Progress.start("capture", source.tokens(), "tokens", output.err())) {
            long done = 0;
            for (long chunk = 0; chunk < source.chunks(); chunk++) {
                if (interruption.requested()) {
                    return;
                }
                writer.append(source, chunk);
                done += source.tokens(chunk).length;
                progress.at(done, Quantities.bytes(writer.bytesWritten()));
            }
            writer.commit();
        }
        double seconds = (System.nanoTime() - started) / 1e9;
        output.emit(new Result(
                "capture",
                out.toString(),
                size(out),
                origin.modelName(),
                origin.modelFingerprint(),
                chosen,
                chosenTaps.stream().map(Tap::label).toList(),
                source.tokens(),
                source.chunks(),
                (long) source.tokens() * origin.kvHeads() * chosen.size() * chosenTaps.size(),
                seconds));
    }

    private void requireDiskSpace(ModelVectorSource source, List<Integer> chosen) {
        VectorOrigin origin = source.origin();
        long vectorBytes = (long) origin.kvHeads() * origin.dHead() * dtype.byteSize();
        long bytes =
                (long) source.tokens() * chosen.size() * EnumSet.copyOf(taps).size() * vectorBytes;
        try {
            long usable = Files.getFileStore(out.toAbsolutePath().normalize().getParent())
                    .getUsableSpace();
            if (bytes > usable) {
                throw new InvalidInputException("%s: needs %s of disk where %s are free; capture fewer layers or tokens"
                        .formatted(out, Quantities.bytes(bytes), Quantities.bytes(usable)));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static long size(Path file) {
        try {
            return Files.size(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * What was captured.
     *
     * @param vectors vectors of all layers, taps and KV heads
     */
    record Result(
            String command,
            String out,
            long bytes,
            String model,
            String modelFingerprint,
            List<Integer> layers,
            List<String> taps,
            int tokens,
            long chunks,
            long vectors,
            double seconds)
            implements Report {
        @Override
        public void print(PrintWriter out) {
            out.printf(
                    "%s: %s of %s, %s tokens in %s contexts, layers %s, %s%n",
                    this.out,
                    Quantities.bytes(bytes),
                    model,
                    Quantities.count(tokens),
                    Quantities.count(chunks),
                    layers.stream().map(String::valueOf).collect(Collectors.joining(",")),
                    String.join(", ", taps));
            out.printf(
                    "%s vectors in %s (%s)%n",
                    Quantities.count(vectors),
                    Quantities.time(Duration.ofNanos((long) (seconds * 1e9))),
                    Quantities.rate(vectors / seconds, "vectors"));
        }
    }
}
