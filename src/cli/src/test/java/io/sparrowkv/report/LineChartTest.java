package io.sparrowkv.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LineChartTest {
    @Test
    void drawsAPictureThatCanBeReadBack(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("chart.png");
        LineChart.write(
                "Fidelity", "K", "cosine", List.of(1, 2, 4, 8), Map.of("keys", new double[] {.5, .6, .8, .9}), file);
        var picture = ImageIO.read(file.toFile());
        assertThat(picture.getWidth()).isEqualTo(960);
        assertThat(Files.list(folder)).containsExactly(file);
    }
}
