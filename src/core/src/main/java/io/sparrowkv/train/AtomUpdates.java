package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * The half of the backward pass that goes atom by atom: adds up one latent's gradient over its list of pairs. Only latents with
 * pairs are touched, and a gradient goes straight from the cache into the optimiser: none is kept for the whole dictionary.
 */
final class AtomUpdates {
    private AtomUpdates() {}

    /** One worker's gradient of one latent. */
    static final class Gradient {
        final MemorySegment decoder;
        final MemorySegment encoder;
        final MemorySegment bias;
        final float[] scratch = new float[Lanes.LENGTH];

        Gradient(Arena arena, int dHead) {
            decoder = arena.allocate((long) dHead * Float.BYTES, 64);
            encoder = arena.allocate((long) dHead * Float.BYTES, 64);
            bias = arena.allocate(Float.BYTES, 64);
        }

        void clear() {
            decoder.fill((byte) 0);
            encoder.fill((byte) 0);
            bias.fill((byte) 0);
        }
    }

    /**
     * Adds the gradient over a list: ∂L/∂d = Σ z G, ∂L/∂w_enc = Σ ∂L/∂z (x − b_dec), ∂L/∂b_enc = Σ ∂L/∂z.
     *
     * @param list the latent's number in {@code lists}
     * @param vectors the batch, {@code [rows, dHead]}
     * @param reconstruction G, {@code [rows * groups, dHead]}
     * @return the list's ∂L/∂b_enc
     */
    static float add(
            Gradient to,
            PairLists lists,
            int list,
            MemorySegment vectors,
            MemorySegment reconstruction,
            Dictionary dictionary) {
        int dHead = dictionary.dHead();
        int start = lists.start(list);
        int end = lists.end(list);
        float bias = 0f;
        for (int entry = start; entry < end; entry++) {
            bias += lists.coefficientGradient(entry);
        }
        int column = 0;
        for (; column + 4 * Lanes.LENGTH <= dHead; column += 4 * Lanes.LENGTH) {
            add4(to, lists, start, end, vectors, reconstruction, dHead, column);
        }
        for (; column < dHead; column += Lanes.LENGTH) {
            add1(to, lists, start, end, vectors, reconstruction, dHead, column);
        }
        Lanes.addScaled(to.encoder, 0, -bias, dictionary.decoderBias(), 0, dHead);
        to.bias.setAtIndex(JAVA_FLOAT, 0, to.bias.getAtIndex(JAVA_FLOAT, 0) + bias);
        return bias;
    }

    /** Four vectors of columns of both sums at once: eight registers over the whole list. */
    private static void add4(
            Gradient to,
            PairLists lists,
            int start,
            int end,
            MemorySegment vectors,
            MemorySegment reconstruction,
            int dHead,
            int column) {
        FloatVector d0 = Lanes.load(to.decoder, column);
        FloatVector d1 = Lanes.load(to.decoder, column + Lanes.LENGTH);
        FloatVector d2 = Lanes.load(to.decoder, column + 2 * Lanes.LENGTH);
        FloatVector d3 = Lanes.load(to.decoder, column + 3 * Lanes.LENGTH);
        FloatVector e0 = Lanes.load(to.encoder, column);
        FloatVector e1 = Lanes.load(to.encoder, column + Lanes.LENGTH);
        FloatVector e2 = Lanes.load(to.encoder, column + 2 * Lanes.LENGTH);
        FloatVector e3 = Lanes.load(to.encoder, column + 3 * Lanes.LENGTH);
        for (int entry = start; entry < end; entry++) {
            long g = (long) lists.gradient(entry) * dHead + column;
            FloatVector z = FloatVector.broadcast(Lanes.SPECIES, lists.coefficient(entry));
            d0 = z.fma(Lanes.load(reconstruction, g), d0);
            d1 = z.fma(Lanes.load(reconstruction, g + Lanes.LENGTH), d1);
            d2 = z.fma(Lanes.load(reconstruction, g + 2 * Lanes.LENGTH), d2);
            d3 = z.fma(Lanes.load(reconstruction, g + 3 * Lanes.LENGTH), d3);
            long x = (long) lists.row(entry) * dHead + column;
            FloatVector dz = FloatVector.broadcast(Lanes.SPECIES, lists.coefficientGradient(entry));
            e0 = dz.fma(Lanes.load(vectors, x), e0);
            e1 = dz.fma(Lanes.load(vectors, x + Lanes.LENGTH), e1);
            e2 = dz.fma(Lanes.load(vectors, x + 2 * Lanes.LENGTH), e2);
            e3 = dz.fma(Lanes.load(vectors, x + 3 * Lanes.LENGTH), e3);
        }
        Lanes.store(d0, to.decoder, column);
        Lanes.store(d1, to.decoder, column + Lanes.LENGTH);
        Lanes.store(d2, to.decoder, column + 2 * Lanes.LENGTH);
        Lanes.store(d3, to.decoder, column + 3 * Lanes.LENGTH);
        Lanes.store(e0, to.encoder, column);
        Lanes.store(e1, to.encoder, column + Lanes.LENGTH);
        Lanes.store(e2, to.encoder, column + 2 * Lanes.LENGTH);
        Lanes.store(e3, to.encoder, column + 3 * Lanes.LENGTH);
    }

    private static void add1(
            Gradient to,
            PairLists lists,
            int start,
            int end,
            MemorySegment vectors,
            MemorySegment reconstruction,
            int dHead,
            int column) {
        VectorMask<Float> mask = Lanes.within(column, dHead);
        FloatVector d = Lanes.load(to.decoder, column, mask);
        FloatVector e = Lanes.load(to.encoder, column, mask);
        for (int entry = start; entry < end; entry++) {
            FloatVector g = Lanes.load(reconstruction, (long) lists.gradient(entry) * dHead + column, mask);
            d = FloatVector.broadcast(Lanes.SPECIES, lists.coefficient(entry)).fma(g, d);
            FloatVector x = Lanes.load(vectors, (long) lists.row(entry) * dHead + column, mask);
            e = FloatVector.broadcast(Lanes.SPECIES, lists.coefficientGradient(entry))
                    .fma(x, e);
        }
        Lanes.store(d, to.decoder, column, mask);
        Lanes.store(e, to.encoder, column, mask);
    }
}
