package io.sparrowkv.tornado;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.CodeCheck;
import io.sparrowkv.encode.EncodeThroughput;
import io.sparrowkv.encode.EncoderUnavailableException;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;
import uk.ac.manchester.tornado.api.GridScheduler;
import uk.ac.manchester.tornado.api.TaskGraph;
import uk.ac.manchester.tornado.api.annotations.Parallel;
import uk.ac.manchester.tornado.api.types.arrays.FloatArray;
import uk.ac.manchester.tornado.api.types.arrays.IntArray;

/** Devices that die, hang or lose a kernel on the way: no vector may be lost with them. */
class LostDeviceTest {
    private static final int WIDTH = 24;
    private static final int LATENTS = 4096;
    private static final int BUDGET = 8;

    /** Two chunks, one for each lane. */
    private static final int ROWS = 3000;

    /** Launches that a first, small batch takes, the warm one among them. */
    private static final int FIRST_LAUNCHES = 2;

    @BeforeAll
    static void requireDevices() {
        Devices.require();
    }

    @Test
    void aDeviceThatDiesInTheMiddleOfABatchLosesNoVectorAndIsReportedOnce() {
        AtomicInteger launches = new AtomicInteger();
        KernelFamily dying = watched(() -> {
            if (launches.incrementAndGet() >= FIRST_LAUNCHES + 1 + 6) {
                throw new DeviceFailedException("unplugged by a test", null);
            }
        });
        try (TornadoBackend backend = Devices.start(dying)) {
            assertReported(backend, "unplugged by a test");
            assertThat(throughput(backend).disagreement())
                    .as("a rate of the CPU's under the device's name")
                    .isEqualTo(backend.lost())
                    .isPresent();
        }
        assertThat(launches.get()).isGreaterThanOrEqualTo(9);
    }

    @Test
    void aDeviceThatHangsIsWaitedForForASetTimeOnly() throws InterruptedException {
        AtomicInteger launches = new AtomicInteger();
        CountDownLatch released = new CountDownLatch(1);
        CountDownLatch returned = new CountDownLatch(1);
        KernelFamily hanging = watched(() -> {
            if (launches.incrementAndGet() == FIRST_LAUNCHES + 3) {
                awaitUninterruptibly(released);
                returned.countDown();
            }
        });
        Duration patience = Duration.ofSeconds(8);
        try (TornadoBackend backend = new TornadoBackend(Devices.first(), hanging, 1, new Tuning(2, 0, patience))) {
            long start = System.nanoTime();
            assertReported(backend, "no answer for 8.0 s");
            assertThat(Duration.ofNanos(System.nanoTime() - start)).isGreaterThan(patience);
        }
        // What comes back too late is left to itself.
        released.countDown();
        returned.await();
    }

    @Test
    void codesOfAnEarlierBatchAreNotTakenForThoseOfALaunchThatNeverRan() {
        try (TornadoBackend backend = Devices.start(losing(FIRST_LAUNCHES + 2))) {
            assertReported(backend, "a kernel did not run");
        }
    }

    @Test
    void ofTornadoVmsReasonsTheTrueOneIsTold() {
        String told = "\u001b[31mBailout is disabled. \nReason: \u001b[31mUnable to compile encode.multiply\n"
                + "The internal error is: no such type\nStacktrace: [a.b.C, d.e.F]\u001b[0m";
        assertThat(DeviceFailedException.line(new IllegalStateException(told)))
                .isEqualTo("Unable to compile encode.multiply; The internal error is: no such type");
        assertThat(DeviceFailedException.line(new IllegalStateException("\n  at a.b.C\n")))
                .isEqualTo("IllegalStateException");
        assertThat(DeviceFailedException.line(new IllegalStateException())).isEqualTo("IllegalStateException");
    }

    @Test
    void aKernelThatNeverRunsFailsTheSelfTest() {
        assertThatThrownBy(() -> TornadoEncoderProvider.tested(Devices.start(losing(0))))
                .isInstanceOf(EncoderUnavailableException.class)
                .hasMessageContaining(" with kernels for tests does not pass its self-test (a kernel did not run")
                .hasMessageContaining("update its driver or choose another encoder");
    }

    /** Three batches of two encoders come out right although the device fails on the way, and one line says so. */
    private static void assertReported(TornadoBackend backend, String reason) {
        Logger logger = (Logger) LoggerFactory.getLogger(TornadoBackend.class);
        ListAppender<ILoggingEvent> events = new ListAppender<>();
        events.start();
        logger.addAppender(events);
        try (Arena arena = Arena.ofShared();
                Dictionary dictionary = dictionary(1);
                Dictionary second = dictionary(2);
                TopKEncoder encoder = backend.open(dictionary);
                TopKEncoder other = backend.open(second);
                CodeBatch codes = CodeBatch.allocate(ROWS, BUDGET)) {
            backend.trust();
            MemorySegment vectors = RandomDictionaries.vectors(arena, ROWS, WIDTH, 2);
            encoder.encode(vectors, 1, BUDGET, codes);
            assertThat(events.list).isEmpty();
            for (TopKEncoder each : List.of(encoder, other, encoder)) {
                codes.indices().fill((byte) 0);
                codes.coefficients().fill((byte) 0);
                each.encode(vectors, ROWS, BUDGET, codes);
                CodeCheck check = new CodeCheck(each.dictionary());
                for (int row = 0; row < ROWS; row += 50) {
                    assertThat(check.disagreement(vectors, codes, row)).isEmpty();
                }
            }
        } finally {
            logger.detachAppender(events);
        }
        assertThat(events.list.stream().filter(event -> event.getLevel().isGreaterOrEqual(Level.WARN)))
                .singleElement()
                .satisfies(event -> assertThat(event.getFormattedMessage())
                        .contains(reason, "this batch and all later ones are encoded by"));
        assertThat(backend.lost())
                .hasValueSatisfying(
                        said -> assertThat(said).startsWith("lost: ").contains(reason));
    }

    private static EncodeThroughput throughput(TornadoBackend backend) {
        try (Dictionary dictionary = dictionary(3)) {
            return EncodeThroughput.measure(backend, dictionary, BUDGET, 64, Duration.ofMillis(50), 1);
        }
    }

    private static Dictionary dictionary(long seed) {
        return RandomDictionaries.dictionary(Site.of(3, VectorKind.KEY), RopeStage.PRE, WIDTH, LATENTS, seed);
    }

    private static void awaitUninterruptibly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** The device's kernels, with something done at each launch. */
    private static KernelFamily watched(Runnable atLaunch) {
        KernelFamily healthy = KernelFamily.of(Devices.first()).getFirst();
        return new KernelFamily(
                "kernels for tests",
                false,
                panels -> new WatchedKernels(atLaunch, healthy.pair().apply(panels)));
    }

    /** Kernels whose product does nothing from its batch of that number on, as if the driver had rejected its launch. */
    private static KernelFamily losing(int batch) {
        return new KernelFamily("kernels for tests", false, panels -> new GpuKernelPair(new LosingProduct(batch)));
    }

    /** The product as plain loops, up to the last batch. */
    static void multiply(
            IntArray batch, FloatArray weights, FloatArray vectors, FloatArray z, int depth, int panels, int last) {
        for (@Parallel int row = 0; row < z.getSize() / (panels * DictionaryBank.PANEL); row++) {
            for (@Parallel int latent = 0; latent < panels * DictionaryBank.PANEL; latent++) {
                if (batch.get(BatchField.SEQUENCE) < last) {
                    int panel = batch.get(BatchField.PLACE) * panels + latent / DictionaryBank.PANEL;
                    int at = panel * (depth + 1) * DictionaryBank.PANEL + latent % DictionaryBank.PANEL;
                    float sum = weights.get(at);
                    for (int i = 0; i < depth; i++) {
                        sum = sum + vectors.get(row * depth + i) * weights.get(at + (i + 1) * DictionaryBank.PANEL);
                    }
                    z.set(row * panels * DictionaryBank.PANEL + latent, sum);
                    batch.set(BatchField.MULTIPLIED, batch.get(BatchField.WIDENED));
                }
            }
        }
    }

    private record LosingProduct(int last) implements GpuProduct {
        @Override
        public void add(TaskGraph graph, FloatArray weights, PlanBuffers buffers) {
            graph.task(
                    "multiply",
                    LostDeviceTest::multiply,
                    buffers.batch(),
                    weights,
                    buffers.vectors(),
                    buffers.preActivations().getArray(),
                    buffers.depth(),
                    buffers.panels(),
                    last);
        }

        @Override
        public void schedule(GridScheduler grid) {
            // The loops give the geometry.
        }

        @Override
        public void launch(int rows) {
            // As above.
        }
    }

    private record WatchedKernels(Runnable atLaunch, KernelPair healthy) implements KernelPair {
        @Override
        public long chunkBytes() {
            return healthy.chunkBytes();
        }

        @Override
        public int rowStep() {
            return healthy.rowStep();
        }

        @Override
        public int stride(int depth) {
            return healthy.stride(depth);
        }

        @Override
        public Object weights(FloatArray packed) {
            return healthy.weights(packed);
        }

        @Override
        public void addTouch(TaskGraph graph, Object weights, FloatArray touched, int mark) {
            healthy.addTouch(graph, weights, touched, mark);
        }

        @Override
        public void addEncode(TaskGraph graph, Object weights, PlanBuffers buffers) {
            healthy.addEncode(graph, weights, buffers);
        }

        @Override
        public void launch(int rows) {
            atLaunch.run();
            healthy.launch(rows);
        }

        @Override
        public GridScheduler grid() {
            return healthy.grid();
        }
    }
}
