package io.sparrowkv.encode;

import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.sae.Dictionary;
import java.util.Arrays;

/**
 * Encoders whose codes are another backend's, refined. Which latents are looked at is that backend's decision, so all backends
 * refine to the same codes, but for choices that rounding decides. Their codes follow {@link Refinement} where those of other
 * backends follow {@link TopKEncoder}'s own definition.
 */
public final class RefinedBackend implements EncoderBackend {
    private final EncoderBackend base;
    private final Refinement refinement;
    private final Coefficients coefficients;
    private final Workers workers;
    private final Pursuit[] pursuits;

    /**
     * Codes whose coefficients are kept as they are.
     *
     * @param base the caller's, must outlive this
     * @param refinement other than none
     * @param threads threads of the refinement
     */
    public RefinedBackend(EncoderBackend base, Refinement refinement, int threads) {
        this(base, refinement, Coefficients.FP16, threads);
    }

    /** @param coefficients what the coefficients will be kept as, which is taken into account when they are fitted */
    public RefinedBackend(EncoderBackend base, Refinement refinement, Coefficients coefficients, int threads) {
        if (refinement.kind() == Refinement.Kind.NONE) {
            throw new IllegalArgumentException("nothing to refine");
        }
        this.base = base;
        this.refinement = refinement;
        this.coefficients = coefficients;
        this.workers = Workers.start("refine", threads);
        this.pursuits = new Pursuit[threads];
        Arrays.setAll(pursuits, i -> new Pursuit());
    }

    @Override
    public String name() {
        return base.name();
    }

    @Override
    public String description() {
        return base.description() + ", then " + refinement.label();
    }

    @Override
    public RefinedEncoder open(Dictionary dictionary) {
        return new RefinedEncoder(base.open(dictionary), refinement, coefficients, workers, pursuits);
    }

    @Override
    public void close() {
        workers.close();
    }
}
