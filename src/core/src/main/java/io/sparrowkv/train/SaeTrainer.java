package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * Trains the dictionary of one site, a batch a step. The forward pass is any encoder's ({@link StepCodes}); the backward pass is written by
 * hand over the kept pairs alone, first row by row ({@link RowGradients}), then atom by atom ({@link AtomGradients}); one sweep over the
 * weights does the rest: Adam and the atoms' unit length.
 *
 * <p>Work is cut into tasks of fixed size whose sums are added in order, so the result depends on the seed, the vectors and the
 * encoder, and not on the number of threads.
 */
public final class SaeTrainer implements AutoCloseable {
    /** Latents of one task. */
    private static final int ATOM_TASK = 64;

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
    private final Optional<DeadReplacement> replacement;
    private final Adam adam = new Adam();
    private final TrainerState state;
    private final SlicedRows centred;
    private final SlicedRows atoms;
    private final AtomGradients atomGradients;
    private final MemorySegment atomSums;
    private final MemorySegment centreGradient;
    private final MemorySegment biasGradients;

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
        this.state = new TrainerState(arena, dictionary);
        boolean refined = settings.refinement().kind() != Refinement.Kind.NONE;
        AuxiliaryLoss auxiliary = refined ? settings.auxiliary().off() : settings.auxiliary();
        this.deadLatents = new DeadLatents(arena, dictionary, backend, auxiliary, batch);
        this.replacement =
                refined ? Optional.of(new DeadReplacement(dictionary, state, settings.seed())) : Optional.empty();
        this.centred = new SlicedRows(arena, batch, dHead);
        this.atoms = new SlicedRows(arena, latents, dHead);
        this.atomGradients = new AtomGradients(arena, latents, dHead);
        this.biasGradients = arena.allocate((long) latents * Float.BYTES, 64);
        this.atomSums = arena.allocate((long) atomTasks() * dHead * Float.BYTES, 64);
        this.centreGradient = arena.allocate((long) dHead * Float.BYTES, 64);
    }

    Dictionary dictionary() {
        return dictionary;
    }

    /** Everything that a step changes, for checkpoints. */
    TrainerState state() {
        return state;
    }

    /** Reads the weights again, after others were put in their place. */
    void reload() {
        codes.reload();
        workers.forEach(atomTasks(), (task, worker) -> {
            for (int latent = task * ATOM_TASK; latent < endLatent(task); latent++) {
                atoms.put(latent, dictionary.decoderWeights(), (long) latent * dictionary.dHead());
            }
        });
    }

    /**
     * Makes the first weights from a sample of the vectors to come.
     *
     * @param sample {@code [rows, dHead]}
     */
    public void initialise(MemorySegment sample, int rows) {
        codes.firstWeights(new FirstWeights(dictionary, settings), sample, rows);
        reload();
        state.variance(Statistics.variance(sample, rows, dictionary.dHead()));
    }

    /**
     * Begins with the weights that the dictionary has.
     *
     * @param sample of the vectors to come, {@code [rows, dHead]}
     */
    public void start(MemorySegment sample, int rows) {
        reload();
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
        workers.forEach(atomTasks(), (task, worker) -> update(task, rate));
        adam.update(
                dictionary.decoderBias(),
                state.decoderBias(),
                0,
                centreGradient(rows),
                0,
                dictionary.dHead(),
                rate,
                state.steps());
        replacement.ifPresent(r -> r.replace(dead(), rows, rowGradients, lastFactor(rows), atoms));
        codes.reload();
        return result(rows);
    }

    /** Everything of a step that comes before a weight is changed. */
    void gradients(MemorySegment vectors, int rows) {
        codes.encode(vectors, rows, state.steps());
        float scale = scale(rows);
        int slices = SlicedRows.slices(dictionary.dHead());
        int rowTasks = RowGradients.tasks(rows);
        workers.forEach(slices * rowTasks, (index, worker) -> {
            int slice = index / rowTasks;
            int task = index % rowTasks;
            centre(slice, task, vectors, rows);
            rowGradients.compute(slice, task, centred, rows, codes.pairs(), atoms, scale);
        });
        lists.build(
                codes.pairs(), rowGradients, (row, pair, own) -> codes.encoderGradient(row, pair, scale, own), workers);
        deadLatents.set(dead());
        deadLatents.compute(vectors, rows, rowGradients, lastFactor(rows), workers);
        // After the slices of the matrices, as if it were one more, the biases.
        workers.forEach((slices + 1) * atomTasks(), (index, worker) -> {
            int slice = index / atomTasks();
            int task = index % atomTasks();
            if (slice == slices) {
                addBiasGradients(task);
            } else {
                addGradients(slice, task);
            }
        });
    }

    /** ∂L/∂b_enc of each latent, after {@link #gradients}. */
    MemorySegment biasGradients() {
        return biasGradients;
    }

    /** The gradients of the latents' weights, after {@link #gradients}; those of latents without pairs are not written. */
    AtomGradients atomGradients() {
        return atomGradients;
    }

    /** Whether any pair of the batch moves a latent, after {@link #gradients}. */
    boolean moves(int latent) {
        return lists.has(latent) || deadLatents.has(latent);
    }

    /** Adds up ∂L/∂b_dec, after {@link #gradients}. */
    MemorySegment centreGradient(int rows) {
        int dHead = dictionary.dHead();
        centreGradient.fill((byte) 0);
        rowGradients.addSums(rows, centreGradient, dHead);
        for (int task = 0; task < atomTasks(); task++) {
            Lanes.addScaled(centreGradient, 0, 1, atomSums, (long) task * dHead, dHead);
        }
        return centreGradient;
    }

    /** The loss of the last {@link #gradients}, without the auxiliary one: about 1 for an empty code of vectors of mean square 1. */
    double loss(int rows) {
        double loss = 0;
        for (int g = 0; g < rowGradients.groups(); g++) {
            loss += codes.weights().get(g) * rowGradients.squaredError(rows, g);
        }
        return loss / ((double) rows * dictionary.dHead());
    }

    @Override
    public void close() {
        deadLatents.close();
        codes.close();
        arena.close();
    }

    /** What the squared errors of a batch are multiplied with. */
    private float scale(int rows) {
        return 1f / ((float) rows * dictionary.dHead());
    }

    /** What a residual at the largest budget was multiplied with to be its gradient. */
    private float lastFactor(int rows) {
        return -2 * scale(rows) * codes.weights().getLast();
    }

    private void centre(int slice, int task, MemorySegment vectors, int rows) {
        for (int row = RowGradients.firstRow(task); row < RowGradients.endRow(task, rows); row++) {
            centred.putCentred(slice, row, vectors, (long) row * dictionary.dHead(), dictionary.decoderBias());
        }
    }

    private void addGradients(int slice, int task) {
        for (int latent = task * ATOM_TASK; latent < endLatent(task); latent++) {
            if (moves(latent)) {
                atomGradients.clear(slice, latent);
                atomGradients.add(slice, latent, lists, latent, rowGradients.gradients(), centred);
                if (deadLatents.has(latent)) {
                    deadLatents.add(atomGradients, slice, latent, centred);
                }
            }
        }
    }

    private void addBiasGradients(int task) {
        int dHead = dictionary.dHead();
        long sums = (long) task * dHead;
        atomSums.asSlice(sums * Float.BYTES, (long) dHead * Float.BYTES).fill((byte) 0);
        for (int latent = task * ATOM_TASK; latent < endLatent(task); latent++) {
            float bias = lists.biasGradient(latent);
            // b_dec is subtracted before encoding: its share of the encoder's gradient is −Σ ∂L/∂b_enc · w_enc.
            if (lists.has(latent)) {
                Lanes.addScaled(atomSums, sums, -bias, dictionary.encoderWeights(), (long) latent * dHead, dHead);
            }
            if (deadLatents.has(latent)) {
                bias += deadLatents.biasGradient(latent);
            }
            biasGradients.setAtIndex(JAVA_FLOAT, latent, bias);
        }
    }

    private void update(int task, float rate) {
        int dHead = dictionary.dHead();
        MemorySegment decoder = dictionary.decoderWeights();
        for (int latent = task * ATOM_TASK; latent < endLatent(task); latent++) {
            if (!moves(latent)) {
                continue;
            }
            if (lists.fires(latent)) {
                state.fired(latent);
            }
            long row = (long) latent * dHead;
            long gradient = atomGradients.at(latent);
            MemorySegment decoderGradients = atomGradients.decoder();
            float along = Lanes.dot(decoderGradients, gradient, decoder, row, dHead);
            Lanes.addScaled(decoderGradients, gradient, -along, decoder, row, dHead);
            int update = state.updated(latent);
            adam.update(decoder, state.decoder(), row, decoderGradients, gradient, dHead, rate, update);
            Lanes.normalise(decoder, row, dHead);
            atoms.put(latent, decoder, row);
            adam.update(
                    dictionary.encoderWeights(),
                    state.encoder(),
                    row,
                    atomGradients.encoder(),
                    gradient,
                    dHead,
                    rate,
                    update);
            adam.update(dictionary.encoderBias(), state.encoderBias(), latent, biasGradients, latent, 1, rate, update);
        }
    }

    private int[] dead() {
        int[] dead = new int[deadCount()];
        for (int latent = 0, i = 0; i < dead.length; latent++) {
            if (isDead(latent)) {
                dead[i++] = latent;
            }
        }
        return dead;
    }

    private int deadCount() {
        int count = 0;
        for (int latent = 0; latent < dictionary.latents(); latent++) {
            count += isDead(latent) ? 1 : 0;
        }
        return count;
    }

    private boolean isDead(int latent) {
        return state.silentFor(latent) >= settings.auxiliary().deadAfter();
    }

    private StepResult result(int rows) {
        int largest = rowGradients.groups() - 1;
        double unexplained = rowGradients.squaredError(rows, largest) / rows / state.variance();
        return new StepResult(
                loss(rows), 1 - unexplained, (double) codes.kept() / rows, (double) deadCount() / dictionary.latents());
    }

    private int endLatent(int task) {
        return Math.min(dictionary.latents(), (task + 1) * ATOM_TASK);
    }

    private int atomTasks() {
        return Math.ceilDiv(dictionary.latents(), ATOM_TASK);
    }
}
