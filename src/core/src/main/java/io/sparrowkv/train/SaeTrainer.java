package io.sparrowkv.train;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * Trains the dictionary of one site, a batch a step. The forward pass is any encoder's ({@link StepCodes}); the backward pass is written by
 * hand over the kept pairs alone, first row by row ({@link RowGradients}), then atom by atom ({@link AtomUpdates}) with Adam and the
 * atoms' unit length in the same sweep.
 *
 * <p>Work is cut into tasks of fixed size whose sums are added in order, so the result depends on the seed, the vectors and the
 * encoder, and not on the number of threads.
 */
public final class SaeTrainer implements AutoCloseable {
    /** Rows of one task. */
    static final int ROW_TASK = 32;

    /** Latents of one task. */
    private static final int ATOM_TASK = 32;

    /** Least number of vectors from which the first weights are made, where there are as many. */
    static final int SAMPLE = 8192;

    private final TrainerSettings settings;
    private final Workers workers;
    private final Arena arena = Arena.ofShared();
    private final Dictionary dictionary;
    private final StepCodes codes;
    private final RowGradients rowGradients;
    private final PairLists lists;
    private final DeadLatents deadLatents;
    private final Adam adam = new Adam();
    private final TrainerState state;
    private final AtomUpdates.Gradient[] scratch;
    private final float[][] rowScratch;
    private final MemorySegment rowSums;
    private final MemorySegment atomSums;
    private final MemorySegment centreGradient;

    /**
     * @param dictionary trained in place, over vectors as {@link #step} gets them; the caller's to close, after this
     * @param workers threads of the backward pass
     */
    public SaeTrainer(Dictionary dictionary, TrainerSettings settings, EncoderBackend backend, Workers workers) {
        this.settings = settings;
        this.workers = workers;
        this.dictionary = dictionary;
        int batch = Math.max(settings.schedule().batch(), 1);
        int dHead = dictionary.dHead();
        int latents = dictionary.latents();
        this.codes = StepCodes.open(dictionary, settings, backend, workers);
        this.rowGradients = new RowGradients(arena, batch, dHead, codes.budgets(), codes.weights());
        this.lists = new PairLists(latents, batch, codes.budgets().getLast());
        this.deadLatents = new DeadLatents(arena, dictionary, backend, settings.auxiliary(), batch);
        this.state = new TrainerState(arena, dictionary);
        this.scratch = new AtomUpdates.Gradient[workers.threads()];
        Arrays.setAll(scratch, worker -> new AtomUpdates.Gradient(arena, dHead));
        this.rowScratch = new float[workers.threads()][rowGradients.scratch()];
        this.rowSums = arena.allocate((long) tasks(batch, ROW_TASK) * dHead * Float.BYTES, 64);
        this.atomSums = arena.allocate((long) tasks(latents, ATOM_TASK) * dHead * Float.BYTES, 64);
        this.centreGradient = arena.allocate((long) dHead * Float.BYTES, 64);
    }

    Dictionary dictionary() {
        return dictionary;
    }

    /** Everything that a step changes, for checkpoints. */
    TrainerState state() {
        return state;
    }

    /** Reads state and weights again, after a checkpoint was put in their place. */
    void reload() {
        codes.reload();
    }

    /**
     * Makes the first weights from a sample of the vectors to come.
     *
     * @param sample {@code [rows, dHead]}
     */
    public void initialise(MemorySegment sample, int rows) {
        codes.firstWeights(new FirstWeights(dictionary, settings), sample, rows);
        state.variance(Statistics.variance(sample, rows, dictionary.dHead()));
    }

    /**
     * Begins with given weights.
     *
     * @param from of the same shape, over vectors as they are outside of training
     * @param factor that training's vectors were multiplied with
     * @param sample of training's vectors, {@code [rows, dHead]}
     */
    public void start(Dictionary from, float factor, MemorySegment sample, int rows) {
        dictionary.encoderWeights().copyFrom(from.encoderWeights());
        dictionary.decoderWeights().copyFrom(from.decoderWeights());
        Lanes.scale(dictionary.encoderBias(), 0, factor, from.encoderBias(), 0, dictionary.latents());
        Lanes.scale(dictionary.decoderBias(), 0, factor, from.decoderBias(), 0, dictionary.dHead());
        codes.reload();
        state.variance(Statistics.variance(sample, rows, dictionary.dHead()));
    }

    /**
     * Takes one step.
     *
     * @param vectors {@code [rows, dHead]}
     * @param rows at most the schedule's batch
     */
    public StepResult step(MemorySegment vectors, int rows) {
        gradients(vectors, rows);
        float rate = settings.schedule().rate(state.steps());
        state.advance(rows);
        workers.forEach(
                tasks(dictionary.latents(), ATOM_TASK), (task, worker) -> updateAtoms(task, worker, vectors, rate));
        updateCentre(rows, rate);
        codes.reload();
        return result(rows);
    }

    /** Everything of a step that comes before a weight is changed. */
    void gradients(MemorySegment vectors, int rows) {
        codes.encode(vectors, rows, state.steps());
        workers.forEach(tasks(rows, ROW_TASK), (task, worker) -> rowTask(task, worker, vectors, rows));
        lists.build(codes.pairs(), rowGradients);
        deadLatents.set(dead());
        float last = -2 * lossScale(rows) * codes.weights().getLast();
        deadLatents.compute(vectors, rows, rowGradients, last, workers);
    }

    /** The gradient of one latent's weights, after {@link #gradients}; false when it has none. */
    boolean gradient(int latent, MemorySegment vectors, AtomUpdates.Gradient to, int sumsTask) {
        boolean fired = lists.start(latent) < lists.end(latent);
        boolean revived = deadLatents.has(latent);
        if (!fired && !revived) {
            return false;
        }
        to.clear();
        int dHead = dictionary.dHead();
        if (fired) {
            float bias = AtomUpdates.add(to, lists, latent, vectors, rowGradients.gradients(), dictionary);
            // b_dec is subtracted before encoding: its share of the encoder's gradient is −Σ ∂L/∂b_enc · w_enc.
            Lanes.addScaled(
                    atomSums,
                    (long) sumsTask * dHead,
                    -bias,
                    dictionary.encoderWeights(),
                    (long) latent * dHead,
                    dHead);
            if (lists.fires(latent)) {
                state.fired(latent);
            }
        }
        if (revived) {
            deadLatents.add(to, latent, vectors);
        }
        return true;
    }

    /** Adds up ∂L/∂b_dec, after {@link #gradient} of every latent. */
    MemorySegment centreGradient(int rows) {
        int dHead = dictionary.dHead();
        centreGradient.fill((byte) 0);
        for (int task = 0; task < tasks(rows, ROW_TASK); task++) {
            Lanes.addScaled(centreGradient, 0, 1, rowSums, (long) task * dHead, dHead);
        }
        for (int task = 0; task < tasks(dictionary.latents(), ATOM_TASK); task++) {
            Lanes.addScaled(centreGradient, 0, 1, atomSums, (long) task * dHead, dHead);
        }
        return centreGradient;
    }

    /** The loss of the last {@link #gradients}, without the auxiliary one: about 1 for an empty code of vectors of mean square 1. */
    double loss(int rows) {
        double loss = 0;
        for (int g = 0; g < rowGradients.groups(); g++) {
            loss += codes.weights().get(g) * squaredError(rows, g);
        }
        return loss / ((double) rows * dictionary.dHead());
    }

    @Override
    public void close() {
        deadLatents.close();
        codes.close();
        arena.close();
    }

    private void rowTask(int task, int worker, MemorySegment vectors, int rows) {
        int dHead = dictionary.dHead();
        MemorySegment atoms = dictionary.decoderWeights();
        MemorySegment bias = dictionary.decoderBias();
        float scale = lossScale(rows);
        zero(rowSums, task);
        int end = Math.min(rows, (task + 1) * ROW_TASK);
        for (int row = task * ROW_TASK; row < end; row++) {
            rowGradients.compute(row, vectors, codes.pairs(), atoms, bias, scale, rowScratch[worker]);
            codes.teachEncoder(row, scale, rowGradients.coefficientGradients());
            // The first group's gradient sums over every budget, and b_dec is part of every reconstruction.
            long all = (long) row * rowGradients.groups() * dHead;
            Lanes.addScaled(rowSums, (long) task * dHead, 1, rowGradients.gradients(), all, dHead);
        }
    }

    private void updateAtoms(int task, int worker, MemorySegment vectors, float rate) {
        int dHead = dictionary.dHead();
        AtomUpdates.Gradient gradient = scratch[worker];
        MemorySegment atoms = dictionary.decoderWeights();
        zero(atomSums, task);
        int end = Math.min(dictionary.latents(), (task + 1) * ATOM_TASK);
        for (int latent = task * ATOM_TASK; latent < end; latent++) {
            if (!gradient(latent, vectors, gradient, task)) {
                continue;
            }
            long row = (long) latent * dHead;
            float along = Lanes.dot(gradient.decoder, 0, atoms, row, dHead);
            Lanes.addScaled(gradient.decoder, 0, -along, atoms, row, dHead);
            int update = state.updated(latent);
            adam.update(atoms, state.decoder(), row, gradient.decoder, dHead, rate, update);
            Lanes.normalise(atoms, row, dHead);
            adam.update(dictionary.encoderWeights(), state.encoder(), row, gradient.encoder, dHead, rate, update);
            adam.update(dictionary.encoderBias(), state.encoderBias(), latent, gradient.bias, 1, rate, update);
        }
    }

    private void updateCentre(int rows, float rate) {
        adam.update(
                dictionary.decoderBias(),
                state.decoderBias(),
                0,
                centreGradient(rows),
                dictionary.dHead(),
                rate,
                state.steps());
    }

    private int[] dead() {
        return IntStream.range(0, dictionary.latents())
                .filter(latent ->
                        state.silentFor(latent) >= settings.auxiliary().deadAfter())
                .toArray();
    }

    private StepResult result(int rows) {
        int largest = rowGradients.groups() - 1;
        long pairs = codes.kept();
        double unexplained = squaredError(rows, largest) / rows / state.variance();
        return new StepResult(
                loss(rows), 1 - unexplained, (double) pairs / rows, (double) dead().length / dictionary.latents());
    }

    private double squaredError(int rows, int group) {
        double sum = 0;
        for (int row = 0; row < rows; row++) {
            sum += rowGradients.error(row, group);
        }
        return sum;
    }

    private float lossScale(int rows) {
        return 1f / ((float) rows * dictionary.dHead());
    }

    private void zero(MemorySegment sums, int task) {
        long bytes = (long) dictionary.dHead() * Float.BYTES;
        sums.asSlice(task * bytes, bytes).fill((byte) 0);
    }

    private static int tasks(int count, int size) {
        return (count + size - 1) / size;
    }
}
