package io.sparrowkv.train;

import io.sparrowkv.capture.Tap;
import io.sparrowkv.capture.VectorOrigin;
import io.sparrowkv.capture.VectorSource;
import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * Trains the dictionaries of several sites side by side from one source: each pass of the source fills every site's shuffle buffer,
 * and each step takes one batch of every site.
 *
 * <p>Training goes on in a {@link TrainingSpace} of each site; the dictionaries that come out are over vectors as they are.
 *
 * <p>A run is a function of source, settings and encoder. Stopped at a step, saved, and resumed from there it gives the same result,
 * bit for bit: a checkpoint holds weights, moments and counters, and the buffers are read again from where they were filled.
 */
public final class TrainingRun implements AutoCloseable {
    /** Rows of a task of turning vectors into the space of training. */
    private static final int TURN_TASK = 64;

    private final VectorSource source;
    private final TrainingSettings settings;
    private final EncoderBackend backend;
    private final Workers workers;
    private final Arena arena = Arena.ofShared();
    private final ChunkOrder order;
    private final SiteBuffers buffers;
    private final MemorySegment batch;
    private final List<SaeTrainer> trainers = new ArrayList<>();
    private final List<Dictionary> working = new ArrayList<>();
    private final TrainingSpace[] spaces;
    private final TrainingStart start;
    private Position position = new Position(0, 0, 0, 0);
    private volatile boolean stopping;

    /**
     * Where a run stands in its source.
     *
     * @param step steps taken
     * @param fill how often the buffers were filled before
     * @param fillStart place in the order of chunks where this fill began
     * @param batchOfFill batches taken from it
     */
    record Position(int step, long fill, long fillStart, int batchOfFill) {}

    /**
     * @param source read until the training ends; the caller's to close, after this
     * @param backend encodes the batches; the caller's to close, after this
     * @param workers threads of the backward pass; the caller's to close, after this
     * @throws InvalidInputException when the source lacks a site, or is too short
     */
    public TrainingRun(VectorSource source, TrainingSettings settings, EncoderBackend backend, Workers workers) {
        this(source, settings, backend, workers, TrainingStart.ANEW);
    }

    /**
     * @param start what it begins with
     * @throws InvalidInputException as above, or when the dictionaries to begin with are not these sites', or of another shape
     */
    public TrainingRun(
            VectorSource source,
            TrainingSettings settings,
            EncoderBackend backend,
            Workers workers,
            TrainingStart start) {
        this.start = start;
        this.source = source;
        this.settings = settings;
        this.backend = backend;
        this.workers = workers;
        VectorOrigin origin = source.origin();
        checkSites(origin);
        start.dictionaries().ifPresent(this::checkStart);
        int batchRows = settings.trainer().schedule().batch();
        this.buffers = new SiteBuffers(origin, settings.sites(), settings.rope(), settings.bufferRows(), batchRows);
        int wanted = (settings.heldOutRows() + buffers.chunkRows() - 1) / buffers.chunkRows();
        int fitting = Math.min(wanted, buffers.capacity() / buffers.chunkRows());
        int heldOut = (int) Math.clamp(source.chunks() / 10, 1, fitting);
        this.order = new ChunkOrder(settings.trainer().seed(), source.chunks(), heldOut);
        int width = settings.width(origin);
        this.batch = arena.allocate((long) batchRows * width * Float.BYTES, 64);
        this.spaces = new TrainingSpace[settings.sites().size()];
        for (int i = 0; i < spaces.length; i++) {
            Site site = settings.sites().get(i);
            spaces[i] = new TrainingSpace(0, start.metric(site));
            RopeStage rope = site.kind() == VectorKind.KEY ? settings.rope() : RopeStage.PRE;
            Dictionary dictionary =
                    Dictionary.allocate(site, rope, width, settings.trainer().latents());
            working.add(dictionary);
            trainers.add(new SaeTrainer(dictionary, settings.trainer(), backend, workers));
        }
    }

    /** Lets {@link #train} return after the step it is in; may be called from any thread. */
    public void stop() {
        stopping = true;
    }

    /** Steps taken so far, those before a checkpoint included. */
    public int step() {
        return position.step();
    }

    /**
     * Trains until the last step, or until {@link #stop}.
     *
     * @param checkpoints where and how often the state is saved; it is also saved on {@link #stop}
     * @return whether the last step was taken
     */
    public boolean train(Checkpoints checkpoints, TrainingProgress.Listener listener) {
        int steps = settings.trainer().schedule().steps();
        int batchRows = settings.trainer().schedule().batch();
        long began = System.nanoTime();
        int firstStep = position.step();
        while (position.step() < steps) {
            long fillEnd = fill();
            int[] rows =
                    ChunkOrder.permutation(buffers.rows(), settings.trainer().seed() + 1, position.fill());
            while (position.step() < steps && (position.batchOfFill() + 1) * batchRows <= buffers.rows()) {
                SortedMap<Site, StepResult> results = step(rows, batchRows);
                position = new Position(
                        position.step() + 1, position.fill(), position.fillStart(), position.batchOfFill() + 1);
                listener.progress(progress(results, System.nanoTime() - began, position.step() - firstStep));
                if (stopping) {
                    checkpoints.save(this);
                    return position.step() == steps;
                }
                checkpoints.saveIfDue(this);
            }
            position = new Position(position.step(), position.fill() + 1, fillEnd, 0);
        }
        return true;
    }

    /** The dictionaries as they stand, over vectors as they are; the caller closes them. */
    public DictionarySet dictionaries() {
        List<Dictionary> plain = new ArrayList<>();
        for (int i = 0; i < working.size(); i++) {
            plain.add(spaces[i].leave(working.get(i)));
        }
        return new DictionarySet(plain);
    }

    /**
     * Measures dictionaries on the vectors held out from training. Ends the training: the buffers are used for it.
     *
     * @param dictionaries of this run's sites, as they are to be used: read back from 16-bit files, say
     */
    public List<SiteReport> evaluate(DictionarySet dictionaries) {
        buffers.clear();
        for (int i = 0; i < spaces.length; i++) {
            buffers.factor(i, 1);
        }
        for (int chunk : order.heldOut()) {
            buffers.read(source, chunk);
        }
        List<SiteReport> reports = new ArrayList<>();
        for (int i = 0; i < working.size(); i++) {
            Dictionary dictionary = dictionaries.bySite().get(settings.sites().get(i));
            if (dictionary == null) {
                throw new InvalidInputException(settings.sites().get(i) + ": no dictionary in the set; train it first");
            }
            reports.add(SiteEvaluation.evaluate(
                    dictionary,
                    buffers.vectors(i),
                    buffers.rows(),
                    settings.trainer().loss().largestBudget(),
                    settings.trainer().refinement(),
                    backend,
                    workers));
        }
        return reports;
    }

    TrainingSettings settings() {
        return settings;
    }

    /** Everything that the result depends on, by name. */
    Map<String, String> identity() {
        Map<String, String> fields = settings.identity(source.origin());
        fields.put("start", start.dictionaries().map(DictionarySet::fingerprint).orElse("none"));
        fields.put(
                "metric",
                Arrays.stream(spaces).map(TrainingSpace::identity).distinct().collect(Collectors.joining(",")));
        return fields;
    }

    EncoderBackend backend() {
        return backend;
    }

    Position position() {
        return position;
    }

    List<SaeTrainer> trainers() {
        return Collections.unmodifiableList(trainers);
    }

    TrainingSpace space(int site) {
        return spaces[site];
    }

    /** Puts a checkpoint's state in place: the trainers' arrays have been written already. */
    void restore(Position saved, float[] savedFactors) {
        position = saved;
        for (int i = 0; i < spaces.length; i++) {
            spaces[i] = spaces[i].scaled(savedFactors[i]);
        }
        trainers.forEach(SaeTrainer::reload);
    }

    @Override
    public void close() {
        trainers.forEach(SaeTrainer::close);
        working.forEach(Dictionary::close);
        buffers.close();
        arena.close();
    }

    private void checkStart(DictionarySet set) {
        int width = settings.width(source.origin());
        for (Site site : settings.sites()) {
            Dictionary dictionary = set.bySite().get(site);
            if (dictionary == null) {
                throw new InvalidInputException(site + ": no dictionary to start from; choose among "
                        + set.bySite().keySet());
            }
            RopeStage rope = site.kind() == VectorKind.KEY ? settings.rope() : RopeStage.PRE;
            if (dictionary.dHead() != width
                    || dictionary.latents() != settings.trainer().latents()
                    || dictionary.rope() != rope) {
                throw new InvalidInputException(
                        "%s: the dictionary to start from has vectors of %d, %d latents, rope %s, the training %d, %d, %s; make them the same"
                                .formatted(
                                        site,
                                        dictionary.dHead(),
                                        dictionary.latents(),
                                        dictionary.rope().label(),
                                        width,
                                        settings.trainer().latents(),
                                        rope.label()));
            }
        }
    }

    private void checkSites(VectorOrigin origin) {
        for (Site site : settings.sites()) {
            if (site.layer() >= origin.layers() || site.head() >= origin.kvHeads()) {
                throw new InvalidInputException("%s: %s has %d layers of %d KV heads; choose among them"
                        .formatted(site, origin.modelName(), origin.layers(), origin.kvHeads()));
            }
            Tap tap = Tap.of(site.kind(), settings.rope());
            if (!source.taps().contains(tap)) {
                throw new InvalidInputException(
                        "%s: the source has no %s vectors, only %s; capture them, or choose --rope %s"
                                .formatted(site, tap.label(), source.taps(), tap == Tap.KEY_PRE ? "post" : "pre"));
            }
        }
    }

    /** Fills the buffers from the position's place in the order; gives the place where the next fill begins. */
    private long fill() {
        buffers.clear();
        for (int i = 0; i < spaces.length; i++) {
            buffers.factor(i, spaces[i].factor() == 0 ? 1 : spaces[i].factor());
        }
        long place = position.fillStart();
        while (buffers.hasRoom()) {
            buffers.read(source, order.chunk(place++));
        }
        if (spaces[0].factor() == 0) {
            initialise();
        }
        return place;
    }

    private void initialise() {
        int dHead = settings.width(source.origin());
        int rows = Math.min(
                buffers.rows(), Math.max(SaeTrainer.SAMPLE, settings.trainer().latents()));
        int[] sampleRows =
                ChunkOrder.permutation(buffers.rows(), settings.trainer().seed() + 2, 0);
        try (Arena sampleArena = Arena.ofShared()) {
            MemorySegment sample = sampleArena.allocate((long) rows * dHead * Float.BYTES, 64);
            for (int i = 0; i < spaces.length; i++) {
                gather(i, sampleRows, 0, rows, sample);
                double meanSquare = Statistics.meanSquare(sample, rows, dHead);
                if (!Double.isFinite(meanSquare) || meanSquare == 0) {
                    throw new InvalidInputException("%s: the vectors' mean square is %s; check the model's weights"
                            .formatted(settings.sites().get(i), meanSquare));
                }
                spaces[i] = spaces[i].scaled((float) Math.sqrt(dHead / meanSquare));
                buffers.factor(i, spaces[i].factor());
                gather(i, sampleRows, 0, rows, sample);
                Optional<Dictionary> from = start.dictionary(settings.sites().get(i));
                if (from.isPresent()) {
                    spaces[i].enter(from.get(), working.get(i));
                    trainers.get(i).start(sample, rows);
                } else {
                    trainers.get(i).initialise(sample, rows);
                }
            }
        }
    }

    /** Brings rows of a site's buffer together, in the space of its training. */
    private void gather(int site, int[] order, int first, int rows, MemorySegment to) {
        buffers.gather(site, order, first, rows, to, workers);
        TrainingSpace space = spaces[site];
        workers.forEach(Math.ceilDiv(rows, TURN_TASK), (task, worker) -> {
            int from = task * TURN_TASK;
            space.turn(to, from, Math.min(TURN_TASK, rows - from));
        });
    }

    private SortedMap<Site, StepResult> step(int[] rows, int batchRows) {
        SortedMap<Site, StepResult> results = new TreeMap<>();
        for (int i = 0; i < trainers.size(); i++) {
            gather(i, rows, position.batchOfFill() * batchRows, batchRows, batch);
            StepResult result = trainers.get(i).step(batch, batchRows);
            if (!Double.isFinite(result.loss())) {
                throw new InvalidInputException("%s: the loss is %s at step %d; lower the learning rate"
                        .formatted(settings.sites().get(i), result.loss(), position.step()));
            }
            results.put(settings.sites().get(i), result);
        }
        return results;
    }

    private TrainingProgress progress(SortedMap<Site, StepResult> results, long nanos, int stepsHere) {
        Schedule schedule = settings.trainer().schedule();
        double seconds = nanos * 1e-9;
        double rate = (double) stepsHere * schedule.batch() * results.size() / seconds;
        double remaining = seconds / stepsHere * (schedule.steps() - position.step());
        return new TrainingProgress(
                position.step(),
                schedule.steps(),
                StepResult.mean(results.values()),
                Collections.unmodifiableSortedMap(results),
                rate,
                Duration.ofMillis((long) (remaining * 1e3)));
    }
}
