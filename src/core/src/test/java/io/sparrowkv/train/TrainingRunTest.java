package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.sparrowkv.capture.Tap;
import io.sparrowkv.capture.VectorSink;
import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.encode.RefinedBackend;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.encode.WeighedDictionaries;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.Metric;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class TrainingRunTest {
    private static final int STEPS = 40;

    @TempDir
    Path folder;

    private final List<AutoCloseable> opened = new ArrayList<>();
    private final EncoderBackend backend = open(Encoders.start("scalar", 1));
    private final Workers workers = open(Workers.start("test", 2));
    private final PlantedSource source = new PlantedSource(2, 2, 20, 50, 12);

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable resource : opened.reversed()) {
            resource.close();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 7, 8, 9, 39})
    void resumingGivesTheSameBitsAsNoInterruption(int stopAt) {
        byte[] whole = weights(run(settings(Heads.SHARED, 3)));

        Path file = folder.resolve("checkpoint.safetensors");
        TrainingRun stopped = run(settings(Heads.SHARED, 3));
        boolean ended = stopped.train(Checkpoints.to(file, Duration.ofDays(1)), progress -> {
            if (progress.step() == stopAt) {
                stopped.stop();
            }
        });
        assertThat(ended).isFalse();
        assertThat(stopped.step()).isEqualTo(stopAt);
        TrainingRun resumed = run(settings(Heads.SHARED, 3));
        Checkpoints.restore(resumed, file);
        assertThat(resumed.step()).isEqualTo(stopAt);
        assertThat(weights(resumed)).isEqualTo(whole);
    }

    @Test
    void trainingOnPursuedCodesFromGivenDictionariesResumesToTheSameBits() {
        TrainingRun first = run(settings(Heads.SHARED, 3));
        byte[] start = weights(first);
        DictionarySet given = open(first.dictionaries());
        byte[] whole = weights(run(refined(), given));
        assertThat(whole).isNotEqualTo(start);

        Path file = folder.resolve("checkpoint.safetensors");
        TrainingRun stopped = run(refined(), given);
        stopped.train(Checkpoints.to(file, Duration.ofDays(1)), progress -> {
            if (progress.step() == 11) {
                stopped.stop();
            }
        });
        TrainingRun resumed = run(refined(), given);
        Checkpoints.restore(resumed, file);
        assertThat(weights(resumed)).isEqualTo(whole);
        assertThatThrownBy(() -> Checkpoints.restore(run(refined()), file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("settings.start", given.fingerprint());
    }

    @Test
    void aMetricSpendsThePairsWhereItWeighs() {
        Map<Site, Metric> metrics = metrics();
        DictionarySet plain = open(trainedSet(refined()));
        TrainingRun weighedRun = run(refined(), new TrainingStart(Optional.empty(), metrics));
        weighedRun.train(Checkpoints.none(), progress -> {});
        DictionarySet weighed = open(weighedRun.dictionaries());
        for (Site site : metrics.keySet()) {
            double byPlain = weighedError(plain.bySite().get(site), metrics.get(site));
            double byWeighed = weighedError(weighed.bySite().get(site), metrics.get(site));
            assertThat(byWeighed).as(site.label()).isLessThan(0.9 * byPlain);
        }
    }

    @Test
    void weighedTrainingResumesToTheSameBitsWithTheMetricsOfItsCheckpoint() {
        TrainingStart begin = new TrainingStart(Optional.empty(), metrics());
        byte[] whole = weights(run(refined(), begin));
        Path file = folder.resolve("checkpoint.safetensors");
        TrainingRun stopped = run(refined(), begin);
        stopped.train(Checkpoints.to(file, Duration.ofDays(1)), progress -> {
            if (progress.step() == 11) {
                stopped.stop();
            }
        });
        Map<Site, Metric> saved = Checkpoints.metrics(file, refined().sites());
        TrainingRun resumed = run(refined(), new TrainingStart(Optional.empty(), saved));
        Checkpoints.restore(resumed, file);
        assertThat(weights(resumed)).isEqualTo(whole);
        assertThatThrownBy(() -> Checkpoints.restore(run(refined()), file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("settings.metric");
    }

    @Test
    void theMetricOfGivenDictionariesIsKept() {
        TrainingRun first = run(refined(), new TrainingStart(Optional.empty(), metrics()));
        first.train(Checkpoints.none(), progress -> {});
        DictionarySet given = open(first.dictionaries());
        TrainingRun second = run(refined(), TrainingStart.from(given));
        second.train(Checkpoints.none(), progress -> {});
        DictionarySet last = open(second.dictionaries());
        for (Site site : given.bySite().keySet()) {
            assertThat(last.bySite().get(site).metric().orElseThrow().root())
                    .isEqualTo(given.bySite().get(site).metric().orElseThrow().root());
        }
    }

    private Map<Site, Metric> metrics() {
        Map<Site, Metric> metrics = new HashMap<>();
        for (Site site : refined().sites()) {
            metrics.put(site, WeighedDictionaries.metric(source.origin().dHead(), 5 + metrics.size()));
        }
        return metrics;
    }

    /** Weight of the errors that pursued codes leave of a chunk of the source. */
    private double weighedError(Dictionary dictionary, Metric metric) {
        Tap tap = Tap.of(dictionary.site().kind(), dictionary.rope());
        double[] sum = new double[1];
        try (RefinedBackend refinedBackend = new RefinedBackend(backend, Refinement.pursuit(12), 1);
                TopKEncoder encoder = refinedBackend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(100, 4)) {
            source.read(1, new VectorSink() {
                @Override
                public boolean wants(int layer, Tap at) {
                    return layer == dictionary.site().layer() && at == tap;
                }

                @Override
                public void accept(int layer, Tap at, int firstPosition, int tokens, MemorySegment vectors) {
                    int rows = tokens * source.origin().kvHeads();
                    encoder.encode(vectors, rows, 4, codes);
                    for (int row = 0; row < rows; row++) {
                        sum[0] += WeighedDictionaries.error(dictionary, Optional.of(metric), vectors, row, codes);
                    }
                }
            });
        }
        return sum[0];
    }

    @Test
    void givenDictionariesAreWhereTrainingBegins() {
        DictionarySet given = open(trainedSet(settings(Heads.SHARED, 3)));
        TrainingRun run = run(settings(Heads.SHARED, 4), given);
        double[] first = new double[1];
        run.train(Checkpoints.none(), progress -> {
            if (progress.step() == 1) {
                first[0] = progress.mean().explainedVariance();
                run.stop();
            }
        });
        double[] fresh = new double[1];
        TrainingRun anew = run(settings(Heads.SHARED, 4));
        anew.train(Checkpoints.none(), progress -> {
            if (progress.step() == 1) {
                fresh[0] = progress.mean().explainedVariance();
                anew.stop();
            }
        });
        assertThat(first[0]).isGreaterThan(fresh[0]);
    }

    @Test
    void dictionariesOfOtherSitesOrShapesAreNoStart() {
        DictionarySet given = open(trainedSet(settings(Heads.SHARED, 3)));
        assertThatThrownBy(() -> run(settings(Heads.EACH, 3), given))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("no dictionary to start from");
        TrainingSettings post = settings(Heads.SHARED, 3);
        TrainingSettings pre = with(post, post.sites(), RopeStage.PRE);
        assertThatThrownBy(() -> open(new TrainingRun(
                        new PlantedSource(2, 2, 20, 50, 12), pre, backend, workers, TrainingStart.from(given))))
                .isInstanceOf(InvalidInputException.class);
    }

    @Test
    void aKilledProcessGoesOnFromItsLastCheckpoint() throws Exception {
        byte[] whole = weights(run(settings(Heads.SHARED, 3)));
        Path file = folder.resolve("checkpoint.safetensors");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules=jdk.incubator.vector",
                "-cp",
                System.getProperty("java.class.path"),
                Killed.class.getName(),
                file.toString()));
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("log").toFile())
                .start();
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue())
                .as(Files.readString(folder.resolve("log")))
                .isNotZero();
        try (var files = Files.list(folder)) {
            assertThat(files.map(path -> path.getFileName().toString()))
                    .containsExactlyInAnyOrder("checkpoint.safetensors", "log");
        }

        TrainingRun resumed = run(settings(Heads.SHARED, 3));
        Checkpoints.restore(resumed, file);
        assertThat(resumed.step()).isEqualTo(Killed.LAST_STEP);
        assertThat(weights(resumed)).isEqualTo(whole);
    }

    /** Trains with a checkpoint after each step and halts in the middle, no hook run, as a kill does. */
    static final class Killed {
        static final int LAST_STEP = 13;

        public static void main(String[] args) {
            EncoderBackend backend = Encoders.start("scalar", 1);
            Workers workers = Workers.start("killed", 2);
            TrainingRun run =
                    new TrainingRun(new PlantedSource(2, 2, 20, 50, 12), settings(Heads.SHARED, 3), backend, workers);
            run.train(Checkpoints.to(Path.of(args[0]), Duration.ZERO), progress -> {
                if (progress.step() == LAST_STEP + 1) {
                    Runtime.getRuntime().halt(137);
                }
            });
        }
    }

    @Test
    void jointHeadsAreTrainedAsOneHeadOfTheirWidthIs() {
        TrainingSettings joint = settings(Heads.JOINT, 3);
        TrainingSettings shared = settings(Heads.SHARED, 3);
        PlantedSource single = source.asOneHead();
        assertThat(single.origin().dHead()).isEqualTo(40);
        TrainingRun together = run(joint);
        TrainingRun alone = open(new TrainingRun(single, shared, backend, workers));
        assertThat(weights(together)).isEqualTo(weights(alone));
        DictionarySet set = open(together.dictionaries());
        assertThat(set.joint()).isTrue();
        assertThat(set.bySite().keySet())
                .first()
                .hasToString("layer.00.key.joint")
                .isEqualTo(Site.joint(0, VectorKind.KEY));
        DictionarySet plain = open(alone.dictionaries());
        assertThat(together.evaluate(set).getFirst().fidelity())
                .isEqualTo(alone.evaluate(plain).getFirst().fidelity());
    }

    @ParameterizedTest
    @EnumSource(
            value = Heads.class,
            names = {"SHARED", "EACH"})
    void trainedDictionariesHoldPlainWeightsThatCodeHeldOutVectors(Heads heads) {
        TrainingRun run = run(settings(heads, 3));
        double[] firstAndLast = new double[2];
        assertThat(run.train(Checkpoints.none(), progress -> {
                    assertThat(progress.steps()).isEqualTo(STEPS);
                    assertThat(progress.sites()).hasSize(heads == Heads.EACH ? 8 : 4);
                    assertThat(progress.mean().l0()).isBetween(0.0, 6.0);
                    firstAndLast[progress.step() == 1 ? 0 : 1] = progress.mean().loss();
                }))
                .isTrue();
        assertThat(firstAndLast[1]).isLessThan(firstAndLast[0]);
        DictionarySet set = open(run.dictionaries());
        for (SiteReport report : run.evaluate(set)) {
            assertThat(report.fidelity().getFirst().budget()).isEqualTo(1);
            assertThat(report.fidelity().getLast().budget()).isEqualTo(64);
            assertThat(report.fidelity().get(2).fvu()).isLessThan(0.7).isGreaterThan(0);
            assertThat(report.fidelity().get(2).cosine()).isGreaterThan(0.5).isLessThanOrEqualTo(1);
            for (int b = 1; b < 3; b++) {
                assertThat(report.fidelity().get(b).fvu())
                        .isLessThan(report.fidelity().get(b - 1).fvu());
            }
            int latents = report.density().latents().stream()
                    .mapToInt(Integer::intValue)
                    .sum();
            assertThat(latents + report.density().silent()).isEqualTo(64);
            assertThat(report.deadShare()).isCloseTo(report.density().silent() / 64.0, within(1e-12));
        }
    }

    @Test
    void otherSettingsAnotherFileOrADamagedOneAreRefusedByName() throws IOException {
        Path file = folder.resolve("checkpoint.safetensors");
        run(settings(Heads.SHARED, 3)).train(Checkpoints.to(file, Duration.ZERO), progress -> {});
        assertThatThrownBy(() -> Checkpoints.restore(run(settings(Heads.SHARED, 4)), file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("checkpoint.safetensors", "settings.seed", "3", "4");
        assertThatThrownBy(() -> Checkpoints.restore(run(settings(Heads.EACH, 3)), file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("settings.sites");
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length / 2));
        assertThatThrownBy(() -> Checkpoints.restore(run(settings(Heads.SHARED, 3)), file))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("truncated");
        assertThatThrownBy(() -> Checkpoints.restore(run(settings(Heads.SHARED, 3)), folder.resolve("none")))
                .isInstanceOf(InvalidInputException.class);
    }

    @Test
    void sitesThatTheSourceLacksAreRefused() {
        TrainingSettings good = settings(Heads.SHARED, 3);
        assertThatThrownBy(() -> run(with(good, List.of(Site.of(2, VectorKind.KEY)), RopeStage.POST)))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("layer.02.key", "2 layers");
        assertThatThrownBy(() -> run(with(good, List.of(Site.of(0, VectorKind.KEY)), RopeStage.PRE)))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContainingAll("key_pre", "--rope post");
        assertThatThrownBy(() ->
                        with(good, List.of(Site.of(0, VectorKind.KEY), new Site(0, VectorKind.KEY, 1)), RopeStage.POST))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("mix");
        assertThatThrownBy(() -> new TrainingRun(new PlantedSource(2, 2, 20, 50, 1), good, backend, workers))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("longer text");
    }

    @Test
    void chunksAreVisitedOnceAnEpochAndHeldOutOnesNever() {
        ChunkOrder order = new ChunkOrder(5, 23, 3);
        for (int epoch = 0; epoch < 3; epoch++) {
            List<Integer> seen = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                seen.add(order.chunk(epoch * 20L + i));
            }
            assertThat(seen)
                    .doesNotHaveDuplicates()
                    .isNotEqualTo(seen.stream().sorted().toList());
            for (int heldOut : order.heldOut()) {
                assertThat(seen).doesNotContain(heldOut);
            }
        }
    }

    private static TrainingSettings with(TrainingSettings settings, List<Site> sites, RopeStage rope) {
        return new TrainingSettings(sites, rope, settings.trainer(), settings.bufferRows(), settings.heldOutRows());
    }

    private static TrainingSettings settings(Heads heads, long seed) {
        TrainerSettings trainer = new TrainerSettings(
                64,
                PrefixLoss.of(List.of(3, 6)),
                new Schedule(STEPS, 60, 3e-3f, 5, 0.5f),
                new AuxiliaryLoss(600, 8, 32, 1f / 32),
                Initialisation.DATA,
                Refinement.NONE,
                seed);
        TrainingSettings settings = TrainingSettings.of(
                new PlantedSource(2, 2, 20, 50, 12).origin(), List.of(0, 1), heads, RopeStage.POST, trainer);
        return new TrainingSettings(settings.sites(), settings.rope(), trainer, 500, 200);
    }

    /** Settings of a training on pursued codes. */
    private static TrainingSettings refined() {
        TrainingSettings plain = settings(Heads.SHARED, 3);
        TrainerSettings trainer = plain.trainer();
        return new TrainingSettings(
                plain.sites(),
                plain.rope(),
                new TrainerSettings(
                        trainer.latents(),
                        trainer.loss(),
                        trainer.schedule(),
                        trainer.auxiliary(),
                        trainer.initialisation(),
                        Refinement.pursuit(12),
                        trainer.seed()),
                plain.bufferRows(),
                plain.heldOutRows());
    }

    private DictionarySet trainedSet(TrainingSettings settings) {
        TrainingRun run = run(settings);
        run.train(Checkpoints.none(), progress -> {});
        return run.dictionaries();
    }

    private TrainingRun run(TrainingSettings settings, DictionarySet start) {
        return run(settings, TrainingStart.from(start));
    }

    private TrainingRun run(TrainingSettings settings, TrainingStart start) {
        return open(new TrainingRun(source, settings, backend, workers, start));
    }

    private TrainingRun run(TrainingSettings settings) {
        return open(new TrainingRun(source, settings, backend, workers));
    }

    /** The weights of all sites after training, byte by byte. */
    private byte[] weights(TrainingRun run) {
        assertThat(run.train(Checkpoints.none(), progress -> {})).isTrue();
        var bytes = new ByteArrayOutputStream();
        try (DictionarySet set = run.dictionaries()) {
            for (Dictionary dictionary : set.bySite().values()) {
                bytes.writeBytes(dictionary.encoderWeights().toArray(JAVA_BYTE));
                bytes.writeBytes(dictionary.decoderWeights().toArray(JAVA_BYTE));
                bytes.writeBytes(dictionary.encoderBias().toArray(JAVA_BYTE));
                bytes.writeBytes(dictionary.decoderBias().toArray(JAVA_BYTE));
            }
        }
        return bytes.toByteArray();
    }

    private <T extends AutoCloseable> T open(T resource) {
        opened.add(resource);
        return resource;
    }
}
