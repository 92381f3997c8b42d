package io.sparrowkv.sae;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Optional;

/**
 * The Top-K sparse autoencoder of one site, its weights off-heap as row-major fp32 in native byte order:
 * z = ReLU(W_enc (x − b_dec) + b_enc), the K largest kept, x̂ = Σ z_i d_i + b_dec (Gao et al., arXiv 2406.04093).
 *
 * <p>Both weight matrices are kept one latent a row, {@code [latents, dHead]}: row i of {@link #encoderWeights} is latent i's
 * detector, row i of {@link #decoderWeights} is its atom d_i. Whoever writes to the segments (the trainer) must afterwards call
 * {@link io.sparrowkv.encode.TopKEncoder#reload}.
 *
 * <p>It may have a {@link Metric}, by which refined codes are chosen; its atoms are then of unit length in that metric.
 */
public final class Dictionary implements AutoCloseable {
    private final Site site;
    private final RopeStage rope;
    private final int dHead;
    private final int latents;
    private final Optional<Metric> metric;
    private final Arena arena;
    private final MemorySegment encoderWeights;
    private final MemorySegment decoderWeights;
    private final MemorySegment encoderBias;
    private final MemorySegment decoderBias;

    private Dictionary(Site site, RopeStage rope, int dHead, int latents, Optional<Metric> metric) {
        if (dHead < 1 || latents < 1) {
            throw new IllegalArgumentException("dHead " + dHead + ", latents " + latents + ": both must be positive");
        }
        if (metric.isPresent() && metric.get().dHead() != dHead) {
            throw new IllegalArgumentException(
                    "a metric of width " + metric.get().dHead() + " for vectors of " + dHead);
        }
        this.site = site;
        this.rope = rope;
        this.dHead = dHead;
        this.latents = latents;
        this.metric = metric;
        this.arena = Arena.ofShared();
        this.encoderWeights = floats((long) latents * dHead);
        this.decoderWeights = floats((long) latents * dHead);
        this.encoderBias = floats(latents);
        this.decoderBias = floats(dHead);
    }

    /**
     * Allocates a dictionary of zeros.
     *
     * @param rope where the keys were taken; of no meaning for values, where {@link RopeStage#PRE} is the convention
     * @param dHead width of a vector
     * @param latents number of atoms, M
     */
    public static Dictionary allocate(Site site, RopeStage rope, int dHead, int latents) {
        return allocate(site, rope, dHead, latents, Optional.empty());
    }

    /**
     * As {@link #allocate(Site, RopeStage, int, int)}, with a metric.
     *
     * @param metric of the same width
     */
    public static Dictionary allocate(Site site, RopeStage rope, int dHead, int latents, Optional<Metric> metric) {
        return new Dictionary(site, rope, dHead, latents, metric);
    }

    public Site site() {
        return site;
    }

    public RopeStage rope() {
        return rope;
    }

    /** Width of a vector: of a KV head's, or of those of all of a layer's side by side where the site is {@link Heads#JOINT}. */
    public int dHead() {
        return dHead;
    }

    /** Number of atoms, M. */
    public int latents() {
        return latents;
    }

    /** By what refined codes are chosen; none means the plain squared error. */
    public Optional<Metric> metric() {
        return metric;
    }

    /** W_enc, {@code [latents, dHead]}. */
    public MemorySegment encoderWeights() {
        return encoderWeights;
    }

    /** W_dec, {@code [latents, dHead]}: row i is atom d_i. */
    public MemorySegment decoderWeights() {
        return decoderWeights;
    }

    /** b_enc, {@code [latents]}. */
    public MemorySegment encoderBias() {
        return encoderBias;
    }

    /** b_dec, {@code [dHead]}. */
    public MemorySegment decoderBias() {
        return decoderBias;
    }

    /** Bytes of the weights in memory. */
    public long byteSize() {
        return encoderWeights.byteSize() + decoderWeights.byteSize() + encoderBias.byteSize() + decoderBias.byteSize();
    }

    @Override
    public void close() {
        arena.close();
    }

    private MemorySegment floats(long count) {
        return arena.allocate(count * ValueLayout.JAVA_FLOAT.byteSize(), 64);
    }
}
