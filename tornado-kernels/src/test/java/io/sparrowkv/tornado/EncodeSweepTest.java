package io.sparrowkv.tornado;

import static org.assertj.core.api.Assertions.assertThat;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.CodeCheck;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every shape that codes are promised for, on every device and with all of its kernels, half of the latents tied with another; minutes,
 * and so only when asked for, by the widths of vectors: {@code -Dsparrow.sweep=16,24,64,80,128,256}.
 */
@EnabledIfSystemProperty(named = EncodeSweepTest.WIDTHS, matches = "[0-9,]+")
class EncodeSweepTest {
    static final String WIDTHS = "sparrow.sweep";

    private static final int[] LATENTS = {64, 1001, 4096, 32768};
    private static final int[] BUDGETS = {1, 16, 64};
    private static final int[] BATCHES = {1, 65, 1025};

    /** With one budget, and as many atoms at most as leave it a matter of minutes. */
    private static final int LARGEST_BATCH = 8192;

    private static final int USUAL_BUDGET = 16;
    private static final int USUAL_LATENTS = 4096;
    private static final int CHECKED_ROWS = 8;

    @BeforeAll
    static void requireDevice() {
        Devices.require();
    }

    static List<Arguments> shapes() {
        List<Arguments> shapes = new ArrayList<>();
        int[] widths = Stream.of(System.getProperty(WIDTHS).split(","))
                .mapToInt(Integer::parseInt)
                .toArray();
        for (Device device : Device.all()) {
            for (KernelFamily family : Devices.families(device)) {
                for (int dHead : widths) {
                    for (int latents : LATENTS) {
                        for (boolean half : new boolean[] {false, true}) {
                            shapes.add(Arguments.argumentSet(
                                    "%s, %s, d_head %d, %d atoms, %s"
                                            .formatted(
                                                    device.encoder(),
                                                    family.label(),
                                                    dHead,
                                                    latents,
                                                    half ? "fp16" : "fp32"),
                                    device,
                                    family,
                                    dHead,
                                    latents,
                                    half));
                        }
                    }
                }
            }
        }
        return shapes;
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void codesAreTheKLargestPreActivations(Device device, KernelFamily family, int dHead, int latents, boolean half) {
        try (Arena arena = Arena.ofShared();
                TornadoBackend backend = new TornadoBackend(device, family, 1);
                Dictionary dictionary = RandomDictionaries.dictionary(
                        Site.of(0, VectorKind.KEY), RopeStage.PRE, dHead, latents, dHead + latents)) {
            KernelsTest.tie(dictionary);
            if (half) {
                HalfFloatsTest.round(dictionary);
            }
            MemorySegment vectors = RandomDictionaries.vectors(arena, LARGEST_BATCH, dHead, latents);
            CodeCheck check = new CodeCheck(dictionary);
            try (TopKEncoder encoder = backend.open(dictionary)) {
                for (int budget : BUDGETS) {
                    for (int rows : BATCHES) {
                        encode(encoder, check, vectors, rows, budget);
                    }
                }
                if (latents <= USUAL_LATENTS) {
                    encode(encoder, check, vectors, LARGEST_BATCH, USUAL_BUDGET);
                }
            }
        }
    }

    private static void encode(TopKEncoder encoder, CodeCheck check, MemorySegment vectors, int rows, int budget) {
        try (CodeBatch codes = CodeBatch.allocate(rows, budget)) {
            encoder.encode(vectors, rows, budget, codes);
            for (int i = 0; i < CHECKED_ROWS; i++) {
                // The first row, the last, and some in between.
                int row = (int) ((long) i * (rows - 1) / (CHECKED_ROWS - 1));
                assertThat(check.disagreement(vectors, codes, row))
                        .as("budget %d, batch of %d", budget, rows)
                        .isEmpty();
            }
        }
    }
}
