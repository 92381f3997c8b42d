package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;

/**
 * The auxiliary loss of the latents that stopped firing: a dictionary of the dead alone codes part of the batch, and its decoding is
 * held against what the living left over. Only the dead are moved by it; b_dec is not. Costs nothing while nothing is dead.
 */
final class DeadLatents implements AutoCloseable {
    /** A dictionary of the dead, and an encoder over it. */
    private record Dead(int[] latents, Dictionary dictionary, TopKEncoder encoder) implements AutoCloseable {
        @Override
        public void close() {
            encoder.close();
            dictionary.close();
        }
    }

    private final Dictionary dictionary;
    private final EncoderBackend backend;
    private final AuxiliaryLoss settings;
    private final int rows;
    private final int budget;
    private final CodeBatch codes;
    private final SlicedRows residuals;
    private final SlicedRows atoms;
    private final RowGradients gradients;
    private final PairLists lists;
    private final int[] listOf;
    private Dead dead; // null while all live

    DeadLatents(Arena arena, Dictionary dictionary, EncoderBackend backend, AuxiliaryLoss settings, int batch) {
        this.dictionary = dictionary;
        this.backend = backend;
        this.settings = settings;
        this.rows = Math.min(settings.rows(), batch);
        int dHead = dictionary.dHead();
        this.budget = Math.min(settings.budget(), dictionary.latents());
        this.codes = CodeBatch.allocate(rows, budget);
        this.residuals = new SlicedRows(arena, rows, dHead);
        this.atoms = new SlicedRows(arena, dictionary.latents(), dHead);
        this.gradients = new RowGradients(arena, rows, dHead, List.of(budget), List.of(1f));
        this.lists = new PairLists(dictionary.latents(), rows, budget);
        this.listOf = new int[dictionary.latents()];
        Arrays.fill(listOf, -1);
    }

    /** Says which latents are dead in this step, ascending. */
    void set(int[] latents) {
        if (settings.weight() == 0 || Arrays.equals(latents, dead == null ? new int[0] : dead.latents)) {
            return;
        }
        release();
        if (latents.length > 0) {
            Dictionary own =
                    Dictionary.allocate(dictionary.site(), dictionary.rope(), dictionary.dHead(), latents.length);
            dead = new Dead(latents, own, backend.open(own));
            for (int i = 0; i < latents.length; i++) {
                listOf[latents[i]] = i;
            }
        }
    }

    /**
     * Codes the first rows of a batch with the dead and fills the lists of their pairs.
     *
     * @param main the batch's gradients, from which the residuals come
     * @param lastScale what a residual at the largest budget was multiplied with to be main's gradient
     */
    void compute(MemorySegment vectors, int batch, RowGradients main, float lastScale, Workers workers) {
        if (dead == null) {
            return;
        }
        int used = Math.min(rows, batch);
        int dHead = dictionary.dHead();
        copyWeights();
        dead.encoder.encode(vectors, used, Math.min(budget, dead.latents.length), codes);
        float scale = settings.weight() / ((float) used * dHead);
        int tasks = RowGradients.tasks(used);
        workers.forEach(SlicedRows.slices(dHead) * tasks, (index, worker) -> {
            int slice = index / tasks;
            int task = index % tasks;
            for (int row = RowGradients.firstRow(task); row < RowGradients.endRow(task, used); row++) {
                long last = main.gradients().at(slice, row * main.groups() + main.groups() - 1);
                long to = residuals.at(slice, row);
                Lanes.scale(
                        residuals.floats(), to, 1 / lastScale, main.gradients().floats(), last, SlicedRows.WIDTH);
            }
            gradients.compute(slice, task, residuals, used, codes, atoms, scale);
        });
        lists.build(codes, gradients, (row, pair, own) -> own, workers);
    }

    /** Whether {@link #add} has something for this latent. */
    boolean has(int latent) {
        return listOf[latent] >= 0 && lists.has(listOf[latent]);
    }

    /** Adds one slice of the auxiliary gradient of one latent. */
    void add(AtomGradients to, int slice, int latent, SlicedRows centred) {
        to.add(slice, latent, lists, listOf[latent], gradients.gradients(), centred);
    }

    /** The auxiliary ∂L/∂b_enc of one latent. */
    float biasGradient(int latent) {
        return lists.biasGradient(listOf[latent]);
    }

    private void copyWeights() {
        long row = (long) dictionary.dHead() * Float.BYTES;
        for (int i = 0; i < dead.latents.length; i++) {
            long from = dead.latents[i] * row;
            MemorySegment.copy(dictionary.encoderWeights(), from, dead.dictionary.encoderWeights(), i * row, row);
            MemorySegment.copy(dictionary.decoderWeights(), from, dead.dictionary.decoderWeights(), i * row, row);
            atoms.put(i, dictionary.decoderWeights(), (long) dead.latents[i] * dictionary.dHead());
            float bias = dictionary.encoderBias().getAtIndex(JAVA_FLOAT, dead.latents[i]);
            dead.dictionary.encoderBias().setAtIndex(JAVA_FLOAT, i, bias);
        }
        dead.dictionary.decoderBias().copyFrom(dictionary.decoderBias());
        dead.encoder.reload();
    }

    /** Lets go of the dead; the codes' memory stays. */
    private void release() {
        if (dead != null) {
            Arrays.fill(listOf, -1);
            dead.close();
            dead = null;
        }
    }

    @Override
    public void close() {
        release();
        codes.close();
    }
}
