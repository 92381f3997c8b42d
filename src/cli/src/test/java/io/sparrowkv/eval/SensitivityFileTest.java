package io.sparrowkv.eval;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.eval.SiteSensitivity.Point;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.VectorKind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SensitivityFileTest {
    private static final Map<String, String> CODES = Map.of("codec", "codes", "text", "aa");
    private static final Map<String, String> QUANTIZERS = Map.of("codec", "quantized", "text", "aa");
    private static final SiteSensitivity KEYS =
            new SiteSensitivity(0, VectorKind.KEY, List.of(new Point("8", 18, 0.25), new Point("8+1", 36, -1e-9)));
    private static final SiteSensitivity VALUES =
            new SiteSensitivity(0, VectorKind.VALUE, List.of(new Point("rotated-1", 18, 0.5)));

    @TempDir
    private Path folder;

    @Test
    void whatWasMeasuredUnderOtherConditionsStays() {
        Path file = folder.resolve("measured.json");
        assertThat(SensitivityFile.read(file).measurements()).isEmpty();
        SensitivityFile both = SensitivityFile.read(file)
                .with(CODES, List.of(KEYS))
                .with(QUANTIZERS, List.of(VALUES))
                .with(CODES, List.of(KEYS, VALUES));
        both.write(file);
        SensitivityFile read = SensitivityFile.read(file);
        assertThat(read).isEqualTo(both);
        assertThat(read.sites(CODES)).containsExactly(KEYS, VALUES);
        assertThat(read.sites(QUANTIZERS)).containsExactly(VALUES);
        assertThat(read.sites(Map.of("codec", "codes"))).isEmpty();
    }

    @Test
    void filesOfEarlierVersionsAndBrokenOnesAreRefused() throws Exception {
        Path file = folder.resolve("measured.json");
        Files.writeString(file, "{\"identity\": {}, \"sites\": []}");
        assertThatThrownBy(() -> SensitivityFile.read(file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("measured.json", "delete it to measure again");
        new SensitivityFile(List.of()).with(CODES, List.of(KEYS)).write(file);
        Files.writeString(file, Files.readString(file).replace("\"8+1\"", "\"8\""));
        assertThatThrownBy(() -> SensitivityFile.read(file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("measurements[0].sites[0].points", "each once");
    }
}
