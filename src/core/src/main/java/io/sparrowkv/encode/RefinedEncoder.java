package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;

/** Takes an encoder's best latents as candidates and refines them to codes, rows in parallel. */
public final class RefinedEncoder implements TopKEncoder {
    /** Rows of a task. */
    private static final int TASK_ROWS = 16;

    private final TopKEncoder base;
    private final Refinement refinement;
    private final Coefficients coefficients;
    private final Workers workers;
    private final Pursuit[] pursuits;
    private final PursuitAtoms atoms;
    private final Workers.Task refineRows = this::refineRows;
    private CodeBatch candidates;

    // The call in progress; the workers see these through the start of the job.
    private MemorySegment vectors = MemorySegment.NULL;
    private CodeBatch codes;
    private int rows;
    private int candidateCount;

    RefinedEncoder(
            TopKEncoder base, Refinement refinement, Coefficients coefficients, Workers workers, Pursuit[] pursuits) {
        this.base = base;
        this.refinement = refinement;
        this.coefficients = coefficients;
        this.workers = workers;
        this.pursuits = pursuits;
        this.atoms = new PursuitAtoms(base.dictionary());
        this.candidates = CodeBatch.allocate(0, 1);
    }

    @Override
    public Dictionary dictionary() {
        return base.dictionary();
    }

    @Override
    public void encode(MemorySegment vectors, int rows, int budget, CodeBatch codes) {
        TopKEncoder.requireFit(dictionary(), vectors, rows, budget);
        codes.shape(rows, budget);
        candidateCount = refinement.candidatesFor(budget, dictionary().latents());
        if (!choosesAmongAll()) {
            if (!candidates.fits(rows, candidateCount)) {
                candidates.close();
                candidates = CodeBatch.allocate(rows, candidateCount);
            }
            base.encodeUnordered(vectors, rows, candidateCount, candidates);
        }
        this.vectors = vectors;
        this.codes = codes;
        this.rows = rows;
        try {
            workers.forEach(Math.ceilDiv(rows, TASK_ROWS), refineRows);
        } finally {
            this.vectors = MemorySegment.NULL;
            this.codes = null;
        }
    }

    /**
     * What the last codes were chosen among: the encoder's own codes of as many pairs as there were candidates, in
     * any order.
     *
     * @throws IllegalStateException when the choice is among all latents, whether the encoder would or not
     */
    public CodeBatch candidates() {
        if (choosesAmongAll()) {
            throw new IllegalStateException("codes were chosen among all latents, not among an encoder's candidates");
        }
        return candidates;
    }

    @Override
    public void reload() {
        base.reload();
        atoms.reload();
    }

    @Override
    public void close() {
        candidates.close();
        base.close();
    }

    private boolean choosesAmongAll() {
        return refinement.kind() == Refinement.Kind.PURSUIT
                && candidateCount == dictionary().latents();
    }

    private void refineRows(int task, int worker) {
        Pursuit pursuit = pursuits[worker];
        pursuit.fit(atoms, candidateCount, codes.budget(), coefficients, refinement);
        int end = Math.min(rows, (task + 1) * TASK_ROWS);
        for (int row = task * TASK_ROWS; row < end; row++) {
            centre(row, pursuit.vector());
            pursuit.choose(candidates(row, pursuit.candidates()), codes, row);
        }
    }

    private void centre(int row, float[] centred) {
        MemorySegment.copy(vectors, JAVA_FLOAT, (long) row * centred.length * Float.BYTES, centred, 0, centred.length);
        NonFiniteVectorException.requireFinite(dictionary().site(), row, centred, 0, centred.length);
        float[] centre = atoms.centre();
        for (int i = 0; i < centred.length; i++) {
            centred[i] -= centre[i];
        }
    }

    private int candidates(int row, int[] to) {
        if (choosesAmongAll()) {
            for (int i = 0; i < candidateCount; i++) {
                to[i] = i;
            }
            return candidateCount;
        }
        int count = candidates.count(row);
        long from = (long) row * candidateCount * Integer.BYTES;
        MemorySegment.copy(candidates.indices(), JAVA_INT, from, to, 0, count);
        return count;
    }
}
