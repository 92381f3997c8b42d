package io.sparrowkv.train;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;

/**
 * The half of the backward pass that goes atom by atom: adds up the gradients of each latent's weights over its list of pairs,
 * a slice of columns after the other. Only latents with pairs are touched.
 */
final class AtomGradients {
    private final int stride;
    private final MemorySegment decoder;
    private final MemorySegment encoder;

    AtomGradients(Arena arena, int latents, int dHead) {
        this.stride = SlicedRows.slices(dHead) * SlicedRows.WIDTH;
        this.decoder = arena.allocate((long) latents * stride * Float.BYTES, 64);
        this.encoder = arena.allocate((long) latents * stride * Float.BYTES, 64);
    }

    /** ∂L/∂d, the atoms' gradients, each at {@link #at}. */
    MemorySegment decoder() {
        return decoder;
    }

    /** ∂L/∂w_enc, each at {@link #at}. */
    MemorySegment encoder() {
        return encoder;
    }

    /** Where a latent's gradient begins in both matrices. */
    long at(int latent) {
        return (long) latent * stride;
    }

    /** Empties one slice of one latent's gradients. */
    void clear(int slice, int latent) {
        long to = at(latent) + (long) slice * SlicedRows.WIDTH;
        for (int i = 0; i < SlicedRows.WIDTH; i += Lanes.LENGTH) {
            Lanes.store(Lanes.zero(), decoder, to + i);
            Lanes.store(Lanes.zero(), encoder, to + i);
        }
    }

    /**
     * Adds one slice of one latent's gradient over a list: ∂L/∂d = Σ z G, ∂L/∂w_enc = Σ ∂L/∂z (x − b_dec).
     *
     * @param list the latent's number in {@code lists}
     * @param reconstruction G, {@link RowGradients#gradients}
     * @param centred x − b_dec of the batch's rows
     */
    void add(int slice, int latent, PairLists lists, int list, SlicedRows reconstruction, SlicedRows centred) {
        int start = lists.start(list);
        int end = lists.end(list);
        int[] gradients = lists.gradients();
        int[] rows = lists.rows();
        float[] coefficients = lists.coefficients();
        float[] coefficientGradients = lists.coefficientGradients();
        long firstGradient = reconstruction.at(slice, 0);
        long firstCentred = centred.at(slice, 0);
        long to = at(latent) + (long) slice * SlicedRows.WIDTH;
        FloatVector d0 = Lanes.load(decoder, to);
        FloatVector d1 = Lanes.load(decoder, to + Lanes.LENGTH);
        FloatVector e0 = Lanes.load(encoder, to);
        FloatVector e1 = Lanes.load(encoder, to + Lanes.LENGTH);
        for (int entry = start; entry < end; entry++) {
            long g = firstGradient + (long) gradients[entry] * SlicedRows.WIDTH;
            FloatVector z = FloatVector.broadcast(Lanes.SPECIES, coefficients[entry]);
            d0 = z.fma(Lanes.load(reconstruction.floats(), g), d0);
            d1 = z.fma(Lanes.load(reconstruction.floats(), g + Lanes.LENGTH), d1);
            long x = firstCentred + (long) rows[entry] * SlicedRows.WIDTH;
            FloatVector gradient = FloatVector.broadcast(Lanes.SPECIES, coefficientGradients[entry]);
            e0 = gradient.fma(Lanes.load(centred.floats(), x), e0);
            e1 = gradient.fma(Lanes.load(centred.floats(), x + Lanes.LENGTH), e1);
        }
        Lanes.store(d0, decoder, to);
        Lanes.store(d1, decoder, to + Lanes.LENGTH);
        Lanes.store(e0, encoder, to);
        Lanes.store(e1, encoder, to + Lanes.LENGTH);
    }
}
