package io.sparrowkv.cli;

import io.sparrowkv.capture.CaptureTrace;
import io.sparrowkv.capture.VectorOrigin;
import io.sparrowkv.capture.VectorSource;
import io.sparrowkv.cli.VectorArguments.LiveVectors;
import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.report.Json;
import io.sparrowkv.report.Progress;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.sae.DictionaryFiles;
import io.sparrowkv.sae.DictionaryManifest;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Heads;
import io.sparrowkv.sae.Metric;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.safetensors.DType;
import io.sparrowkv.train.AuxiliaryLoss;
import io.sparrowkv.train.Checkpoints;
import io.sparrowkv.train.Initialisation;
import io.sparrowkv.train.PrefixLoss;
import io.sparrowkv.train.Schedule;
import io.sparrowkv.train.SiteReport;
import io.sparrowkv.train.StepResult;
import io.sparrowkv.train.TrainerSettings;
import io.sparrowkv.train.TrainingProgress;
import io.sparrowkv.train.TrainingRun;
import io.sparrowkv.train.TrainingSettings;
import io.sparrowkv.train.TrainingStart;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** Trains dictionaries from a model that reads a text, or from a capture file. */
@Command(
        name = "train",
        description = {
            "Train the dictionaries of a model's keys and values.",
            "Ctrl-C saves a checkpoint beside the output, from which --resume goes on."
        },
        sortOptions = false)
final class TrainCommand implements Runnable {
    private static final Duration CHECKPOINT_EVERY = Duration.ofMinutes(5);
    private static final int DEFAULT_BATCH = 2048;
    private static final long DEFAULT_STEPS = 1500;

    @Mixin
    private VectorArguments vectors;

    @Option(
            names = "--capture",
            paramLabel = "FILE",
            description = "Vectors that 'sparrow capture' wrote, instead of a model and a text.")
    private Optional<Path> capture = Optional.empty();

    @Option(
            names = "--out",
            paramLabel = "DIR",
            required = true,
            description = "Folder of the dictionaries; dictionaries that lie there are replaced at the end.")
    private Path out;

    @Option(names = "--layers", paramLabel = "LIST", description = "Layers, such as 0,2,4-6 (default: all).")
    private Optional<String> layers = Optional.empty();

    @Option(
            names = "--kind",
            paramLabel = "KIND",
            split = ",",
            description = "key, value, or both as key,value (default: both).")
    private List<VectorKind> kinds = List.of(VectorKind.values());

    @Option(
            names = "--rope",
            paramLabel = "STAGE",
            defaultValue = "pre",
            description = "Keys before (pre) or after (post) the rotary embedding (default: pre, which codes better).")
    private RopeStage rope;

    @Option(
            names = "--heads",
            paramLabel = "HOW",
            defaultValue = "shared",
            description =
                    "A layer's KV heads: shared, a code for each over one dictionary; each, over a dictionary of its"
                            + " own; or joint, one code for all of a token's (default: shared).")
    private Heads heads;

    @Option(names = "--latents", paramLabel = "M", defaultValue = "4096", description = "Atoms (default: 4096).")
    private int latents;

    @Option(names = "--steps", paramLabel = "N", description = "Steps (default: 1500).")
    private Optional<Integer> steps = Optional.empty();

    @Option(names = "--vectors", paramLabel = "N", description = "Vectors of each site, instead of --steps.")
    private Optional<Long> vectorCount = Optional.empty();

    @Option(names = "--batch", paramLabel = "N", description = "Vectors of a step (default: 2048).")
    private int batch = DEFAULT_BATCH;

    @Option(
            names = "--lr",
            paramLabel = "RATE",
            description = "Highest learning rate (default: measured for the batch).")
    private Optional<Float> learningRate = Optional.empty();

    @Option(
            names = "--budgets",
            paramLabel = "LIST",
            split = ",",
            description = "Budgets that codes are trained to be read at, ascending (default: 4,8,16,32).")
    private List<Integer> budgets = PrefixLoss.DEFAULT.budgets();

    @Option(
            names = "--refine",
            paramLabel = "HOW",
            converter = BudgetArguments.RefinementConverter.class,
            description = "Train the atoms on codes refined like this, and the encoder to foretell them: refit or"
                    + " pursuit:C[:E]; none trains on the encoder's own codes (default: none).")
    private Refinement refinement = Refinement.NONE;

    @Option(
            names = "--from",
            paramLabel = "DIR",
            description = "Dictionaries to start from, of the same sites and shape (default: atoms made from vectors).")
    private Optional<Path> from = Optional.empty();

    @Mixin
    private MetricArguments metric;

    @Option(names = "--seed", paramLabel = "N", defaultValue = "1", description = "Seed (default: 1).")
    private long seed;

    @Option(
            names = "--dtype",
            paramLabel = "TYPE",
            defaultValue = "f16",
            description = "f16 or f32, how weights are stored (default: f16).")
    private DType dtype;

    @Option(
            names = "--encoder",
            paramLabel = "NAME",
            defaultValue = Encoders.AUTO,
            description = "Encoder (default: auto).")
    private String encoder;

    @Option(names = "--resume", description = "Go on from the checkpoint beside the output.")
    private boolean resume;

    @Mixin
    private ThreadArguments threads;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        if (dtype != DType.F16 && dtype != DType.F32) {
            throw new InvalidInputException("--dtype " + dtype + ": must be f16 or f32");
        }
        Path checkpoint = OutputPaths.beside(out, ".checkpoint.safetensors");
        if (resume && !Files.exists(checkpoint)) {
            throw new InvalidInputException(checkpoint + ": no such checkpoint; train without --resume");
        }
        OutputPaths.requireDictionaryFolder(out);
        if (capture.isPresent()) {
            if (vectors.given()) {
                throw new InvalidInputException("--capture is given beside a model or a text; give one or the other");
            }
            if (metric.given()) {
                throw new InvalidInputException(
                        "--metric needs the model, not a --capture; give a model and a --text, or leave --metric out");
            }
            try (VectorSource source = CaptureTrace.open(capture.get())) {
                train(source, Map.of(), checkpoint);
            }
        } else {
            try (LiveVectors live = vectors.open(threads.count())) {
                train(live.source(), metrics(live, checkpoint), checkpoint);
            }
        }
    }

    /** By what errors are weighed; when the training is resumed, by what they were. */
    private Map<Site, Metric> metrics(LiveVectors live, Path checkpoint) {
        if (!metric.given()) {
            return Map.of();
        }
        List<Site> sites = settings(live.source()).sites();
        return resume ? Checkpoints.metrics(checkpoint, sites) : metric.measure(live, sites, rope, seed, output.err());
    }

    private void train(VectorSource source, Map<Site, Metric> metrics, Path checkpoint) {
        VectorOrigin origin = source.origin();
        try (Interruption interruption = Interruption.watch();
                EncoderBackend backend = Encoders.start(encoder, threads.count());
                Workers workers = Workers.start("sparrow-train", threads.count());
                Start start = Start.read(from);
                TrainingRun run = new TrainingRun(
                        source, settings(source), backend, workers, new TrainingStart(start.set(), metrics))) {
            if (resume) {
                Checkpoints.restore(run, checkpoint);
                output.err().printf("sparrow: going on after step %d%n", run.step());
            } else if (Files.exists(checkpoint)) {
                output.err().printf("sparrow: %s is replaced; --resume would go on from it%n", checkpoint);
            }
            train(run, checkpoint, interruption, origin, backend);
        }
    }

    /** Dictionaries to start from, if any. */
    private record Start(Optional<DictionarySet> set) implements AutoCloseable {
        static Start read(Optional<Path> folder) {
            return new Start(folder.map(DictionaryFiles::read));
        }

        @Override
        public void close() {
            set.ifPresent(DictionarySet::close);
        }
    }

    private void train(
            TrainingRun run, Path checkpoint, Interruption interruption, VectorOrigin origin, EncoderBackend backend) {
        Schedule schedule = schedule();
        long started = System.nanoTime();
        TrainingProgress[] last = new TrainingProgress[1];
        boolean done;
        try (Progress progress = Progress.start("train", schedule.steps(), "steps", output.err())) {
            progress.resumeAt(run.step());
            done = run.train(Checkpoints.to(checkpoint, CHECKPOINT_EVERY), state -> {
                last[0] = state;
                progress.at(state.step(), note(state));
                if (interruption.requested()) {
                    run.stop();
                }
            });
        }
        if (!done) {
            output.err().printf("sparrow: stopped after step %d; go on with --resume (%s)%n", run.step(), checkpoint);
            return;
        }
        double seconds = (System.nanoTime() - started) / 1e9;
        String fingerprint;
        try (DictionarySet set = run.dictionaries()) {
            DictionaryManifest manifest = new DictionaryManifest(
                    origin.modelName(),
                    origin.modelFingerprint(),
                    origin.layers(),
                    origin.kvHeads(),
                    description(schedule, backend, origin));
            fingerprint = DictionaryFiles.write(out, set, manifest, budgets.getLast(), dtype);
        }
        // What is reported is what was stored, rounding included.
        try (DictionarySet stored = DictionaryFiles.read(out)) {
            List<SiteReport> reports = run.evaluate(stored);
            TrainReport report = new TrainReport(
                    "train",
                    out.toString(),
                    fingerprint,
                    origin.modelName(),
                    schedule.steps(),
                    schedule.batch(),
                    seconds,
                    last[0] == null ? 0 : last[0].vectorsPerSecond(),
                    backend.name(),
                    reports);
            AtomicFile.write(
                    out.resolve(TrainReport.FILE), (Json.text(report) + "\n").getBytes(StandardCharsets.UTF_8));
            output.emit(report);
        }
        OutputPaths.deleteIfThere(checkpoint);
    }

    private TrainingSettings settings(VectorSource source) {
        VectorOrigin origin = source.origin();
        List<Integer> chosen = layers.map(text -> LayerList.parse("--layers", text, origin.layers()))
                .orElseGet(() -> IntStream.range(0, origin.layers()).boxed().toList());
        List<Site> sites = new ArrayList<>();
        for (int layer : chosen) {
            for (VectorKind kind : kinds) {
                sites.addAll(heads.sites(layer, kind, origin.kvHeads()));
            }
        }
        TrainerSettings trainer = new TrainerSettings(
                latents,
                PrefixLoss.of(budgets),
                schedule(),
                AuxiliaryLoss.DEFAULT,
                Initialisation.DATA,
                refinement,
                seed);
        // More rows than the source has would only be the same ones again.
        long rows = source.chunks() * origin.chunkTokens() * heads.vectorsOfToken(origin.kvHeads());
        int bufferRows = (int) Math.min(rows, TrainingSettings.DEFAULT_BUFFER_ROWS);
        return new TrainingSettings(sites, rope, trainer, bufferRows, TrainingSettings.DEFAULT_HELD_OUT_ROWS);
    }

    private Schedule schedule() {
        if (steps.isPresent() && vectorCount.isPresent()) {
            throw new InvalidInputException("--steps and --vectors are both given; give one");
        }
        Check.range("--batch", batch, 1, 1 << 20);
        long count = vectorCount
                .map(n -> n / batch)
                .orElseGet(() -> steps.map(Integer::longValue).orElse(DEFAULT_STEPS));
        if (count < 1 || count > Integer.MAX_VALUE) {
            throw new InvalidInputException(count + " steps of " + batch + " vectors: train at least 1 step");
        }
        Schedule usual = Schedule.ofSteps((int) count, batch);
        return new Schedule(
                usual.steps(),
                usual.batch(),
                learningRate.orElse(usual.learningRate()),
                usual.warmUpSteps(),
                usual.decayShare());
    }

    private Map<String, String> description(Schedule schedule, EncoderBackend backend, VectorOrigin origin) {
        Map<String, String> training = new LinkedHashMap<>();
        training.put("steps", Integer.toString(schedule.steps()));
        training.put("batch", Integer.toString(schedule.batch()));
        training.put("learning_rate", Float.toString(schedule.learningRate()));
        training.put("heads", heads.label());
        training.put("budgets", budgets.toString());
        training.put("refine", refinement.label());
        training.put("metric", metric.label());
        training.put("seed", Long.toString(seed));
        training.put("encoder", backend.name());
        training.put("data_fingerprint", origin.dataFingerprint());
        return training;
    }

    private static String note(TrainingProgress state) {
        StepResult mean = state.mean();
        return "loss %s, explained %s, L0 %s, dead %s, %s"
                .formatted(
                        Quantities.digits(mean.loss()),
                        Quantities.percent(mean.explainedVariance()),
                        Quantities.digits(mean.l0()),
                        Quantities.percent(mean.deadShare()),
                        Quantities.rate(state.vectorsPerSecond(), "vectors"));
    }
}
