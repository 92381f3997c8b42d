package io.sparrowkv.capture;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.safetensors.DType;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.apache.arrow.vector.types.pojo.Schema;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class CaptureTraceTest {
    private static final VectorOrigin ORIGIN = new VectorOrigin("tiny", "m1", "t1", 4, 2, 5, 7);

    @TempDir
    Path folder;

    /** Chunks of whole numbers, which both widths hold exactly; the last chunk is shorter. */
    private static final class Counting implements VectorSource {
        @Override
        public VectorOrigin origin() {
            return ORIGIN;
        }

        @Override
        public Set<Tap> taps() {
            return EnumSet.allOf(Tap.class);
        }

        @Override
        public long chunks() {
            return 3;
        }

        @Override
        public void read(long chunk, VectorSink sink) {
            int tokens = chunk == 2 ? 3 : ORIGIN.chunkTokens();
            for (int layer = 0; layer < ORIGIN.layers(); layer++) {
                for (Tap tap : Tap.values()) {
                    if (sink.wants(layer, tap)) {
                        try (Arena arena = Arena.ofConfined()) {
                            MemorySegment vectors = arena.allocate(tokens * 10L * Float.BYTES, 64);
                            for (int i = 0; i < tokens * 10; i++) {
                                vectors.setAtIndex(JAVA_FLOAT, i, value(chunk, layer, tap, i));
                            }
                            sink.accept(layer, tap, 100, tokens, vectors);
                        }
                    }
                }
            }
        }

        static float value(long chunk, int layer, Tap tap, int i) {
            return i - 200 * chunk + 500 * layer + 100 * tap.ordinal();
        }

        @Override
        public void close() {}
    }

    private record Accepted(int layer, Tap tap, int firstPosition, List<Float> values) {}

    private static List<Accepted> read(VectorSource source, long chunk, Set<Integer> layers, Set<Tap> taps) {
        List<Accepted> accepted = new ArrayList<>();
        source.read(chunk, new VectorSink() {
            @Override
            public boolean wants(int layer, Tap tap) {
                return layers.contains(layer) && taps.contains(tap);
            }

            @Override
            public void accept(int layer, Tap tap, int firstPosition, int tokens, MemorySegment vectors) {
                List<Float> values = new ArrayList<>();
                for (int i = 0; i < tokens * 10; i++) {
                    values.add(vectors.getAtIndex(JAVA_FLOAT, i));
                }
                accepted.add(new Accepted(layer, tap, firstPosition, values));
            }
        });
        return accepted;
    }

    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            names = {"F32", "F16"})
    void aTraceGivesWhatItsSourceGaveInAnyOrder(DType dtype) {
        Path file = trace(List.of(3, 1), EnumSet.of(Tap.VALUE, Tap.KEY_POST), dtype);
        try (CaptureTrace trace = CaptureTrace.open(file)) {
            assertThat(trace.origin()).isEqualTo(ORIGIN);
            assertThat(trace.chunks()).isEqualTo(3);
            assertThat(trace.layers()).containsExactly(1, 3);
            assertThat(trace.taps()).containsExactlyInAnyOrder(Tap.VALUE, Tap.KEY_POST);
            assertThat(trace.dtype()).isEqualTo(dtype);
            for (long chunk : new long[] {2, 0, 1, 2}) {
                List<Accepted> found = read(trace, chunk, Set.of(1, 3), Set.of(Tap.KEY_POST, Tap.VALUE));
                assertThat(found)
                        .isEqualTo(read(new Counting(), chunk, Set.of(1, 3), Set.of(Tap.KEY_POST, Tap.VALUE)))
                        .hasSize(4);
            }
            assertThat(read(trace, 1, Set.of(3), Set.of(Tap.VALUE))).hasSize(1);
        }
    }

    @Test
    void layersAndTapsThatWereNotCapturedAreRefused() {
        try (CaptureTrace trace = CaptureTrace.open(trace(List.of(1), EnumSet.of(Tap.VALUE), DType.F32))) {
            assertThatThrownBy(() -> read(trace, 0, Set.of(2), Set.of(Tap.VALUE)))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("trace.arrow", "layer 2", "[1]");
            assertThatThrownBy(() -> read(trace, 0, Set.of(1), Set.of(Tap.KEY_PRE)))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("trace.arrow", "'key_pre'");
        }
    }

    @Test
    void anExceptionOfTheSinkIsNotTakenForDamage() {
        try (CaptureTrace trace = CaptureTrace.open(trace(List.of(1), EnumSet.of(Tap.VALUE), DType.F32))) {
            assertThatThrownBy(() -> trace.read(0, new VectorSink() {
                        @Override
                        public boolean wants(int layer, Tap tap) {
                            return layer == 1 && tap == Tap.VALUE;
                        }

                        @Override
                        public void accept(int layer, Tap tap, int position, int tokens, MemorySegment vectors) {
                            throw new IllegalStateException("full");
                        }
                    }))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessage("full");
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, 0.01, 0.3, 0.6, 0.9, 0.99})
    void aTruncatedTraceIsRefusedInOneLine(double part) throws IOException {
        Path file = trace(List.of(1, 2), EnumSet.allOf(Tap.class), DType.F32);
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, (int) (part * bytes.length)));
        assertRefused(file);
    }

    @Test
    void whereverABitIsTurnedTheTraceReadsOrIsRefusedInOneLine() throws IOException {
        Path file = trace(List.of(1), EnumSet.of(Tap.VALUE), DType.F16);
        byte[] good = Files.readAllBytes(file);
        for (int at = 0; at < good.length; at += 7) {
            byte[] bad = good.clone();
            bad[at] ^= (byte) 0x81;
            Files.write(file, bad);
            try (CaptureTrace trace = CaptureTrace.open(file)) {
                for (long chunk = 0; chunk < trace.chunks(); chunk++) {
                    read(trace, chunk, Set.of(1), Set.of(Tap.VALUE));
                }
            } catch (InvalidInputException e) {
                assertThat(e.getMessage()).startsWith(file.toString()).doesNotContain("\n");
            }
        }
    }

    @Test
    void otherFilesAreNoTraces() throws IOException {
        assertRefused(folder.resolve("none"));
        assertRefused(folder);
        Path text = folder.resolve("text");
        Files.writeString(text, "Call me Ishmael. Some years ago—never mind how long precisely");
        assertRefused(text);
    }

    @Test
    void nothingIsLeftOfATraceThatWasNotCommitted() throws IOException {
        try (CaptureTraceWriter writer = CaptureTraceWriter.create(
                folder.resolve("trace.arrow"), ORIGIN, List.of(0), EnumSet.of(Tap.VALUE), DType.F32)) {
            writer.append(new Counting(), 0);
        }
        try (var files = Files.list(folder)) {
            assertThat(files).isEmpty();
        }
    }

    @Test
    void theSchemaIsTheContract() throws IOException {
        Schema contract;
        try (InputStream in =
                CaptureTrace.class.getResourceAsStream("/io/sparrowkv/schemas/capture-trace.schema.json")) {
            contract = Schema.fromJSON(new String(in.readAllBytes(), StandardCharsets.UTF_8));
        }
        VectorOrigin origin = new VectorOrigin("gutenberg-7m", "0123456789abcdef", "fedcba9876543210", 6, 2, 128, 1024);
        CaptureTraceSchema own = new CaptureTraceSchema(origin, List.of(0, 3, 5), EnumSet.allOf(Tap.class), DType.F32);
        assertThat(own.toArrow()).isEqualTo(contract);
        assertThat(CaptureTraceSchema.fromArrow(folder, contract)).isEqualTo(own);
    }

    private static void assertRefused(Path file) {
        assertThatThrownBy(() -> CaptureTrace.open(file).close())
                .isInstanceOf(InvalidInputException.class)
                .hasMessageStartingWith(file.toString())
                .message()
                .doesNotContain("\n");
    }

    private Path trace(List<Integer> layers, Set<Tap> taps, DType dtype) {
        Path file = folder.resolve("trace.arrow");
        Counting source = new Counting();
        try (CaptureTraceWriter writer = CaptureTraceWriter.create(file, ORIGIN, layers, taps, dtype)) {
            for (long chunk = 0; chunk < source.chunks(); chunk++) {
                writer.append(source, chunk);
            }
            writer.commit();
        }
        return file;
    }
}
