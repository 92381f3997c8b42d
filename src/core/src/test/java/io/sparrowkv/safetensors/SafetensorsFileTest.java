package io.sparrowkv.safetensors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.io.InvalidInputException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsFileTest {
    @TempDir
    Path folder;

    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            names = {"F32", "F16", "BF16"})
    void everyValueOfALowPrecisionTypeSurvivesARoundTrip(DType dtype) {
        // all 65,536 bit patterns of a 16-bit float, and one more value so that the vector loop leaves a tail
        float[] values = new float[(1 << 16) + 1];
        for (int i = 0; i < 1 << 16; i++) {
            values[i] = dtype == DType.BF16 ? Float.intBitsToFloat(i << 16) : Float.float16ToFloat((short) i);
        }
        values[1 << 16] = -0.5f;
        Path path = folder.resolve("x.safetensors");
        new SafetensorsWriter()
                .metadata("format", "pt")
                .add("odd", dtype, new long[] {1, values.length}, MemorySegment.ofArray(values))
                .write(path);

        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertThat(file.metadata()).containsEntry("format", "pt");
            assertThat(file.tensor("odd").dtype()).isEqualTo(dtype);
            assertThat(file.tensor("odd", 1, values.length).data().byteSize())
                    .isEqualTo((long) values.length * dtype.byteSize());
            float[] read = read(file, "odd");
            for (int i = 0; i < values.length; i++) {
                if (Float.isNaN(values[i])) {
                    assertThat(read[i]).isNaN();
                } else {
                    assertThat(Float.floatToRawIntBits(read[i])).isEqualTo(Float.floatToRawIntBits(values[i]));
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "F16, 0.1, 0.099975586", // nearest
        "F16, 2049, 2048", // tie to even
        "F16, 1e6, Infinity",
        "BF16, 1.00390625, 1.0", // tie to even
        "BF16, 1.01171875, 1.015625",
        "BF16, 3.4028235e38, Infinity"
    })
    void narrowingRoundsToNearestEven(DType dtype, float value, float stored) {
        Path path = folder.resolve("x.safetensors");
        new SafetensorsWriter()
                .add("x", dtype, new long[] {1}, MemorySegment.ofArray(new float[] {value}))
                .write(path);
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertThat(read(file, "x")).containsExactly(stored);
        }
    }

    @Test
    void tensorsOfSeveralTypesKeepTheirValuesAndAreAligned() {
        Path path = folder.resolve("x.safetensors");
        MemorySegment longs = MemorySegment.ofArray(new long[] {-1, Long.MAX_VALUE});
        MemorySegment ints = MemorySegment.ofArray(new int[] {7});
        new SafetensorsWriter()
                .add("half", DType.F16, new long[] {3}, MemorySegment.ofArray(new float[] {1, 2, 3}))
                .add(new Tensor("int", DType.I32, new long[] {}, ints))
                .add(new Tensor("long", DType.I64, new long[] {2, 1}, longs))
                .add("empty", DType.F32, new long[] {0, 5}, MemorySegment.ofArray(new float[0]))
                .write(path);
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertThat(file.names()).containsExactlyInAnyOrder("half", "int", "long", "empty");
            assertThat(file.tensor("long").data().get(ValueLayout.JAVA_LONG, 8)).isEqualTo(Long.MAX_VALUE);
            assertThat(file.tensor("int").shape()).isEmpty();
            assertThat(file.tensor("int").data().get(ValueLayout.JAVA_INT, 0)).isEqualTo(7);
            assertThat(read(file, "half")).containsExactly(1, 2, 3);
            assertThat(read(file, "empty")).isEmpty();
            assertThatThrownBy(() -> read(file, "long"))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("x.safetensors", "'long'", "I64");
            assertThatThrownBy(() -> file.tensor("none"))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("x.safetensors", "'none' is missing");
            assertThatThrownBy(() -> file.tensor("half", 4))
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessageContainingAll("'half'", "[3]", "[4]");
        }
    }

    @Test
    void aLargeTensorIsWidenedInPieces() {
        float[] values = new float[(1 << 21) + 1234];
        for (int i = 0; i < values.length; i++) {
            values[i] = (i % 4001 - 2000) / 64f;
        }
        Path path = folder.resolve("x.safetensors");
        new SafetensorsWriter()
                .add("x", DType.F16, new long[] {values.length}, MemorySegment.ofArray(values))
                .write(path);
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertThat(Arrays.equals(read(file, "x"), values)).isTrue();
            float[] run = new float[33];
            file.readFloats("x", 4000, MemorySegment.ofArray(run));
            assertThat(run).containsExactly(Arrays.copyOfRange(values, 4000, 4033));
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "not json | header is not JSON",
                "{\"a\":{\"dtype\":\"F32\" | header is not JSON",
                "[1, 2] | header is not a JSON object",
                "{} trailing | header is not JSON",
                "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}} | tensor 'a': dtype is missing",
                "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}} | tensor 'a': shape is missing",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}} | tensor 'a': data_offsets is missing",
                "{\"a\":3} | tensor 'a': dtype is missing",
                "{\"a\":{\"dtype\":\"Q4_0\",\"shape\":[2],\"data_offsets\":[0,8]}} | tensor 'a': dtype \"Q4_0\" is unknown",
                "{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}} | tensor 'a': dtype 7 is unknown",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}} | tensor 'a': shape is [-2]",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}} | tensor 'a': shape is [2.5]",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":\"2\",\"data_offsets\":[0,8]}} | tensor 'a': shape is \"2\"",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}} | more than a file can hold",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}} | data_offsets is [0]",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}} | data_offsets is [8, 0]",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}} | data_offsets is [-8,0]",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,99999999999999999999]}} | data_offsets is [0,9999",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}} | F32 of shape [3] takes 12 bytes but data_offsets [0, 8] holds 8",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}} | the file holds 8 bytes of data; it is truncated",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} | 4 bytes follow the last tensor",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}} | tensors leave a gap",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} | tensors overlap",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} | header is not JSON",
                "{\"__metadata__\":{\"x\":[1]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}} | __metadata__ 'x' is [1]",
            })
    void aDamagedHeaderIsOneLineThatNamesFileFieldAndRemedy(String header, String expected) throws IOException {
        byte[] json = header.getBytes(StandardCharsets.UTF_8);
        Path path = write(json.length, json, new byte[8]);
        assertInvalid(path, expected);
    }

    @ParameterizedTest
    @CsvSource({
        "0, header length is 0",
        "-1, header length is 18446744073709551615",
        "100000001, header length is 100000001",
        "1000, header length is 1000 but only 10 bytes follow; the file is truncated"
    })
    void anAbsurdHeaderLengthIsRefused(long length, String expected) throws IOException {
        assertInvalid(write(length, "{}".getBytes(StandardCharsets.UTF_8), new byte[8]), expected);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 7})
    void aFileShorterThanItsPrefixIsRefused(int bytes) throws IOException {
        Path path = folder.resolve("x.safetensors");
        Files.write(path, new byte[bytes]);
        assertInvalid(path, "is " + bytes + " bytes long");
    }

    @Test
    void everyTruncationOfAFileIsRefused() throws IOException {
        Path whole = folder.resolve("whole.safetensors");
        new SafetensorsWriter()
                .add("a", DType.F32, new long[] {5}, MemorySegment.ofArray(new float[5]))
                .write(whole);
        byte[] bytes = Files.readAllBytes(whole);
        Path path = folder.resolve("x.safetensors");
        for (int length = 0; length < bytes.length; length++) {
            Files.write(path, Arrays.copyOf(bytes, length));
            assertInvalid(path, "download it again");
        }
    }

    @Test
    void aMissingFileAndAFolderAreNamed() {
        assertInvalid(folder.resolve("x.safetensors"), "no such file");
        assertThatThrownBy(() -> SafetensorsFile.open(folder))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("is a folder");
    }

    @Test
    void nothingIsLeftBehindWhenWritingFails() throws IOException {
        Path target = folder.resolve("x.safetensors");
        Arena arena = Arena.ofConfined();
        SafetensorsWriter writer = new SafetensorsWriter().add("a", DType.F16, new long[] {2}, arena.allocate(8));
        arena.close(); // the values are gone when the writer comes to them
        assertThatThrownBy(() -> writer.write(target)).isInstanceOf(IllegalStateException.class);
        try (var files = Files.list(folder)) {
            List<String> left = files.map(Path::toString).collect(Collectors.toList());
            assertThat(left).isEmpty();
        }
    }

    private static float[] read(SafetensorsFile file, String name) {
        float[] values = new float[Math.toIntExact(file.tensor(name).elements())];
        file.readFloats(name, MemorySegment.ofArray(values));
        return values;
    }

    private Path write(long length, byte[] header, byte[] data) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(8 + header.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putLong(length).put(header).put(data);
        Path path = folder.resolve("x.safetensors");
        Files.write(path, bytes.array());
        return path;
    }

    private static void assertInvalid(Path path, String expected) {
        assertThatThrownBy(() -> SafetensorsFile.open(path).close())
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("x.safetensors", expected)
                .message()
                .doesNotContain("\n");
    }
}
