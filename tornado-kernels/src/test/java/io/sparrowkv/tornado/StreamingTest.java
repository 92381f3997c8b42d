package io.sparrowkv.tornado;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.CodeCheck;
import io.sparrowkv.encode.DeviceTimes;
import io.sparrowkv.encode.NonFiniteVectorException;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Batch after batch through one plan: what is compiled, allocated and started. */
class StreamingTest {
    private static final int WIDTH = 24;
    private static final int LATENTS = 4096;
    private static final int BUDGET = 8;

    /** What TornadoVM itself allocates to run a graph: its bookkeeping, whatever the batch's size. */
    private static final long MOST_BYTES_A_CHUNK = 64 << 10;

    @BeforeAll
    static void requireDevices() {
        Devices.require();
    }

    static List<KernelFamily> families() {
        return Devices.families(Devices.first());
    }

    @ParameterizedTest
    @MethodSource("families")
    void allSitesShareOnePlanThatIsCompiledOnce(KernelFamily family) {
        try (Arena arena = Arena.ofShared();
                TornadoBackend backend = Devices.start(family);
                DictionarySet set = RandomDictionaries.set(5, 2, RopeStage.PRE, WIDTH, 300, 300, 1);
                CodeBatch codes = CodeBatch.allocate(130, 16)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 130, WIDTH, 2);
            List<TopKEncoder> encoders = new ArrayList<>();
            set.bySite().values().forEach(dictionary -> encoders.add(backend.open(dictionary)));
            encoders.getFirst().encode(vectors, 130, BUDGET, codes);
            List<EncodePlan> plans = backend.plans();
            plans.forEach(plan -> plan.profile(true));
            for (int budget : new int[] {1, BUDGET, 16}) {
                for (TopKEncoder encoder : encoders) {
                    int rows = 1 + 7 * encoder.dictionary().site().layer();
                    encoder.encode(vectors, rows, budget, codes);
                    assertThat(new CodeCheck(encoder.dictionary()).disagreement(vectors, codes, rows - 1))
                            .isEmpty();
                }
            }
            assertThat(backend.plans()).isEqualTo(plans);
            assertThat(plans).allSatisfy(plan -> {
                assertThat(plan.kernelNanos()).isPositive();
                assertThat(plan.compileNanos()).isZero();
            });
            encoders.forEach(TopKEncoder::close);
        }
    }

    @ParameterizedTest
    @MethodSource("families")
    void batchesAllocateNothingOfTheirSizeAndStartNoThreads(KernelFamily family) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        try (Arena arena = Arena.ofShared();
                TornadoBackend backend = Devices.start(family);
                Dictionary dictionary = dictionary(1);
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(1 << 12, BUDGET)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 1 << 12, WIDTH, 2);
            encoder.encode(vectors, 1 << 12, BUDGET, codes);
            int chunkRows = backend.plans().getFirst().rows();
            assertThat(chunkRows).isLessThan(1 << 12);
            for (int i = 0; i < 20; i++) {
                encoder.encode(vectors, chunkRows, BUDGET, codes);
            }
            Set<Long> before = deviceThreads();
            long own = threads.getCurrentThreadAllocatedBytes();
            long all = threads.getTotalThreadAllocatedBytes();
            int rounds = 20;
            for (int i = 0; i < rounds; i++) {
                encoder.encode(vectors, chunkRows, BUDGET, codes);
            }
            all = threads.getTotalThreadAllocatedBytes() - all;
            own = threads.getCurrentThreadAllocatedBytes() - own;
            assertThat(own / rounds).as("allocated by the calling thread").isLessThan(256);
            assertThat(all / rounds).as("allocated by all threads").isLessThan(MOST_BYTES_A_CHUNK);
            assertThat(deviceThreads()).isEqualTo(before);
        }
    }

    @ParameterizedTest
    @MethodSource("families")
    void theTimesOfABatchOfSeveralChunksAreThoseOfItsKernelsAndNoneIsCountedTwice(KernelFamily family) {
        try (Arena arena = Arena.ofShared();
                TornadoBackend backend = Devices.start(family);
                Dictionary dictionary = dictionary(1);
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(1 << 13, BUDGET)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 1 << 13, WIDTH, 2);
            Runnable call = () -> encoder.encode(vectors, 1 << 13, BUDGET, codes);
            call.run();
            assertThat(backend.plans()).hasSizeGreaterThan(1);
            long start = System.nanoTime();
            DeviceTimes times = backend.profile(call).orElseThrow();
            double micros = (System.nanoTime() - start) / 1e3;
            assertThat(times.kernelMicros()).isPositive();
            assertThat(times.kernelMicros() + times.transferMicros()).isLessThan(micros);
        }
    }

    @ParameterizedTest
    @MethodSource("families")
    void ofSeveralVectorsThatAreNotFiniteTheFirstIsNamedWhicheverLaneMeetsIt(KernelFamily family) {
        try (Arena arena = Arena.ofShared();
                TornadoBackend backend = Devices.start(family);
                Dictionary dictionary = dictionary(1);
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(1 << 13, BUDGET)) {
            MemorySegment vectors = RandomDictionaries.vectors(arena, 1 << 13, WIDTH, 2);
            encoder.encode(vectors, 1 << 13, BUDGET, codes);
            for (int row : new int[] {8191, 6000, 4097, 2100, 2047}) {
                vectors.setAtIndex(JAVA_FLOAT, (long) row * WIDTH + 3, Float.NaN);
                assertThatThrownBy(() -> encoder.encode(vectors, 1 << 13, BUDGET, codes))
                        .isInstanceOf(NonFiniteVectorException.class)
                        .hasMessageContaining("vector " + row + " ");
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 0", "4, 1000"})
    void howADeviceIsFedChangesNoCode(int lanes, int chunkRows) {
        for (KernelFamily family : families()) {
            try (Arena arena = Arena.ofShared();
                    TornadoBackend backend = new TornadoBackend(
                            Devices.first(), family, 1, new Tuning(lanes, chunkRows, Duration.ofMinutes(1)));
                    Dictionary dictionary = dictionary(1);
                    TopKEncoder encoder = backend.open(dictionary);
                    CodeBatch codes = CodeBatch.allocate(5000, BUDGET)) {
                MemorySegment vectors = RandomDictionaries.vectors(arena, 5000, WIDTH, 2);
                encoder.encode(vectors, 5000, BUDGET, codes);
                assertThat(backend.plans()).hasSize(lanes);
                CodeCheck check = new CodeCheck(dictionary);
                for (int row = 0; row < 5000; row += 49) {
                    assertThat(check.disagreement(vectors, codes, row)).isEmpty();
                }
            }
        }
    }

    @Test
    void howADeviceIsFedCanBeSaidAndMistakesAreRefused() {
        assertThat(Tuning.ofThisProcess()).isEqualTo(Tuning.DEFAULT);
        System.setProperty(Tuning.LANES_PROPERTY, "4");
        try {
            assertThat(Tuning.ofThisProcess().lanes()).isEqualTo(4);
            System.setProperty(Tuning.LANES_PROPERTY, "0");
            assertThatThrownBy(Tuning::ofThisProcess)
                    .isInstanceOf(InvalidInputException.class)
                    .hasMessage("-Dsparrow.tornado.lanes=0: must be a number from 1 to 16");
        } finally {
            System.clearProperty(Tuning.LANES_PROPERTY);
        }
    }

    private static Dictionary dictionary(long seed) {
        return RandomDictionaries.dictionary(Site.of(3, VectorKind.KEY), RopeStage.PRE, WIDTH, LATENTS, seed);
    }

    private static Set<Long> deviceThreads() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().startsWith("sparrow-device"))
                .map(Thread::threadId)
                .collect(Collectors.toSet());
    }
}
