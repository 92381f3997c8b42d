package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.encode.EncodeThroughput;
import io.sparrowkv.encode.EncoderDevice;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class DevicesCommandTest {
    private static final EncoderDevice DEVICE =
            new EncoderDevice("tornado:opencl:0", "opencl", "a card", "gpu", 1 << 30, 1 << 15, 256, "1.0");

    @Test
    void aDeviceThatWorksShowsItsRate() {
        assertThat(table(DevicesCommand.Tested.of(DEVICE, measured(Optional.empty()))))
                .containsPattern("passed +12,345\\R");
    }

    @Test
    void aLostDeviceShowsNoRate() {
        DevicesCommand.Tested lost = DevicesCommand.Tested.of(DEVICE, measured(Optional.of("lost: no answer")));
        assertThat(lost.vectorsPerSecond()).isZero();
        assertThat(table(lost))
                .containsPattern("failed +-\\R")
                .doesNotContain("12,345")
                .contains("tornado:opencl:0: lost: no answer");
    }

    private static EncodeThroughput measured(Optional<String> disagreement) {
        return new EncodeThroughput(
                DEVICE.encoder(), "", 128, 4096, 16, 512, 10, 12_345, 1, 1, 1, Optional.empty(), disagreement);
    }

    private static String table(DevicesCommand.Tested tested) {
        StringWriter text = new StringWriter();
        PrintWriter out = new PrintWriter(text);
        new DevicesCommand.Result("devices", List.of(tested), List.of()).print(out);
        out.flush();
        return text.toString();
    }
}
