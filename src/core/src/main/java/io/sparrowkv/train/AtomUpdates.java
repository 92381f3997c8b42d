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
            bias += lists.coefficientGradients()[entry];
        }
        sum(to.decoder, reconstruction, lists.gradients(), lists.coefficients(), start, end, dHead);
        sum(to.encoder, vectors, lists.rows(), lists.coefficientGradients(), start, end, dHead);
        Lanes.addScaled(to.encoder, 0, -bias, dictionary.decoderBias(), 0, dHead);
        to.bias.setAtIndex(JAVA_FLOAT, 0, to.bias.getAtIndex(JAVA_FLOAT, 0) + bias);
        return bias;
    }

    /** to += Σ factor · row over a list, the row numbers and factors at {@code [start, end)}. */
    private static void sum(
            MemorySegment to, MemorySegment from, int[] rows, float[] factors, int start, int end, int width) {
        int column = 0;
        for (; column + 8 * Lanes.LENGTH <= width; column += 8 * Lanes.LENGTH) {
            sum8(to, from, rows, factors, start, end, width, column);
        }
        for (; column + 4 * Lanes.LENGTH <= width; column += 4 * Lanes.LENGTH) {
            sum4(to, from, rows, factors, start, end, width, column);
        }
        for (; column < width; column += Lanes.LENGTH) {
            VectorMask<Float> mask = Lanes.within(column, width);
            FloatVector sum = Lanes.load(to, column, mask);
            for (int entry = start; entry < end; entry++) {
                FloatVector row = Lanes.load(from, (long) rows[entry] * width + column, mask);
                sum = FloatVector.broadcast(Lanes.SPECIES, factors[entry]).fma(row, sum);
            }
            Lanes.store(sum, to, column, mask);
        }
    }

    /** Eight vectors of columns, 512 bytes of a row at 512 bits: the sums stay in registers over the whole list. */
    private static void sum8(
            MemorySegment to,
            MemorySegment from,
            int[] rows,
            float[] factors,
            int start,
            int end,
            int width,
            int column) {
        FloatVector s0 = Lanes.load(to, column);
        FloatVector s1 = Lanes.load(to, column + Lanes.LENGTH);
        FloatVector s2 = Lanes.load(to, column + 2 * Lanes.LENGTH);
        FloatVector s3 = Lanes.load(to, column + 3 * Lanes.LENGTH);
        FloatVector s4 = Lanes.load(to, column + 4 * Lanes.LENGTH);
        FloatVector s5 = Lanes.load(to, column + 5 * Lanes.LENGTH);
        FloatVector s6 = Lanes.load(to, column + 6 * Lanes.LENGTH);
        FloatVector s7 = Lanes.load(to, column + 7 * Lanes.LENGTH);
        for (int entry = start; entry < end; entry++) {
            long at = (long) rows[entry] * width + column;
            FloatVector factor = FloatVector.broadcast(Lanes.SPECIES, factors[entry]);
            s0 = factor.fma(Lanes.load(from, at), s0);
            s1 = factor.fma(Lanes.load(from, at + Lanes.LENGTH), s1);
            s2 = factor.fma(Lanes.load(from, at + 2 * Lanes.LENGTH), s2);
            s3 = factor.fma(Lanes.load(from, at + 3 * Lanes.LENGTH), s3);
            s4 = factor.fma(Lanes.load(from, at + 4 * Lanes.LENGTH), s4);
            s5 = factor.fma(Lanes.load(from, at + 5 * Lanes.LENGTH), s5);
            s6 = factor.fma(Lanes.load(from, at + 6 * Lanes.LENGTH), s6);
            s7 = factor.fma(Lanes.load(from, at + 7 * Lanes.LENGTH), s7);
        }
        Lanes.store(s0, to, column);
        Lanes.store(s1, to, column + Lanes.LENGTH);
        Lanes.store(s2, to, column + 2 * Lanes.LENGTH);
        Lanes.store(s3, to, column + 3 * Lanes.LENGTH);
        Lanes.store(s4, to, column + 4 * Lanes.LENGTH);
        Lanes.store(s5, to, column + 5 * Lanes.LENGTH);
        Lanes.store(s6, to, column + 6 * Lanes.LENGTH);
        Lanes.store(s7, to, column + 7 * Lanes.LENGTH);
    }

    /** The same for four: d_head 64 at 512 bits. */
    private static void sum4(
            MemorySegment to,
            MemorySegment from,
            int[] rows,
            float[] factors,
            int start,
            int end,
            int width,
            int column) {
        FloatVector s0 = Lanes.load(to, column);
        FloatVector s1 = Lanes.load(to, column + Lanes.LENGTH);
        FloatVector s2 = Lanes.load(to, column + 2 * Lanes.LENGTH);
        FloatVector s3 = Lanes.load(to, column + 3 * Lanes.LENGTH);
        for (int entry = start; entry < end; entry++) {
            long at = (long) rows[entry] * width + column;
            FloatVector factor = FloatVector.broadcast(Lanes.SPECIES, factors[entry]);
            s0 = factor.fma(Lanes.load(from, at), s0);
            s1 = factor.fma(Lanes.load(from, at + Lanes.LENGTH), s1);
            s2 = factor.fma(Lanes.load(from, at + 2 * Lanes.LENGTH), s2);
            s3 = factor.fma(Lanes.load(from, at + 3 * Lanes.LENGTH), s3);
        }
        Lanes.store(s0, to, column);
        Lanes.store(s1, to, column + Lanes.LENGTH);
        Lanes.store(s2, to, column + 2 * Lanes.LENGTH);
        Lanes.store(s3, to, column + 3 * Lanes.LENGTH);
    }
}
