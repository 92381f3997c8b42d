package io.sparrowkv.train;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.safetensors.DType;
import io.sparrowkv.safetensors.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** Everything that a training step changes: weights, the optimiser's moments and the latents' counters. */
final class TrainerState {
    private final Dictionary dictionary;
    private final Adam.Moments decoder;
    private final Adam.Moments encoder;
    private final Adam.Moments encoderBias;
    private final Adam.Moments decoderBias;
    private final MemorySegment updates;
    private final MemorySegment lastFired;
    private int steps;
    private long vectors;
    private double variance;

    TrainerState(Arena arena, Dictionary dictionary) {
        this.dictionary = dictionary;
        this.decoder = Adam.Moments.allocate(arena, dictionary.decoderWeights());
        this.encoder = Adam.Moments.allocate(arena, dictionary.encoderWeights());
        this.encoderBias = Adam.Moments.allocate(arena, dictionary.encoderBias());
        this.decoderBias = Adam.Moments.allocate(arena, dictionary.decoderBias());
        this.updates = arena.allocate((long) dictionary.latents() * Integer.BYTES, 64);
        this.lastFired = arena.allocate((long) dictionary.latents() * Long.BYTES, 64);
    }

    Adam.Moments decoder() {
        return decoder;
    }

    Adam.Moments encoder() {
        return encoder;
    }

    Adam.Moments encoderBias() {
        return encoderBias;
    }

    Adam.Moments decoderBias() {
        return decoderBias;
    }

    /** Steps taken. */
    int steps() {
        return steps;
    }

    /** Vectors seen. */
    long vectors() {
        return vectors;
    }

    /** Mean squared distance of a vector from the mean, what a code has to explain. */
    double variance() {
        return variance;
    }

    void variance(double value) {
        variance = value;
    }

    void advance(int rows) {
        steps++;
        vectors += rows;
    }

    void restore(int stepsTaken, long vectorsSeen, double meanSquare) {
        steps = stepsTaken;
        vectors = vectorsSeen;
        variance = meanSquare;
    }

    void fired(int latent) {
        lastFired.setAtIndex(JAVA_LONG, latent, vectors);
    }

    /** Vectors seen since a latent last fired. */
    long silentFor(int latent) {
        return vectors - lastFired.getAtIndex(JAVA_LONG, latent);
    }

    /** Counts an update of a latent's weights and gives its number, from 1. */
    int updated(int latent) {
        int update = updates.getAtIndex(JAVA_INT, latent) + 1;
        updates.setAtIndex(JAVA_INT, latent, update);
        return update;
    }

    /** Forgets how a latent was trained, whose weights were made anew, and counts it as living. */
    void restart(int latent) {
        for (Adam.Moments moments : List.of(decoder, encoder)) {
            clear(moments, latent, dictionary.dHead());
        }
        clear(encoderBias, latent, 1);
        updates.setAtIndex(JAVA_INT, latent, 0);
        fired(latent);
    }

    private static void clear(Adam.Moments moments, int latent, int width) {
        long bytes = (long) width * Float.BYTES;
        moments.first().asSlice(latent * bytes, bytes).fill((byte) 0);
        moments.second().asSlice(latent * bytes, bytes).fill((byte) 0);
    }

    /** The arrays behind this state, by the names they have in a checkpoint; writing to them changes it. */
    List<Tensor> tensors(String prefix) {
        int latents = dictionary.latents();
        long[] matrix = {latents, dictionary.dHead()};
        long[] each = {latents};
        long[] centre = {dictionary.dHead()};
        return List.of(
                floats(prefix + "W_enc", matrix, dictionary.encoderWeights()),
                floats(prefix + "W_dec", matrix, dictionary.decoderWeights()),
                floats(prefix + "b_enc", each, dictionary.encoderBias()),
                floats(prefix + "b_dec", centre, dictionary.decoderBias()),
                floats(prefix + "adam.W_enc.first", matrix, encoder.first()),
                floats(prefix + "adam.W_enc.second", matrix, encoder.second()),
                floats(prefix + "adam.W_dec.first", matrix, decoder.first()),
                floats(prefix + "adam.W_dec.second", matrix, decoder.second()),
                floats(prefix + "adam.b_enc.first", each, encoderBias.first()),
                floats(prefix + "adam.b_enc.second", each, encoderBias.second()),
                floats(prefix + "adam.b_dec.first", centre, decoderBias.first()),
                floats(prefix + "adam.b_dec.second", centre, decoderBias.second()),
                new Tensor(prefix + "updates", DType.I32, each, updates),
                new Tensor(prefix + "last_fired", DType.I64, each, lastFired));
    }

    private static Tensor floats(String name, long[] shape, MemorySegment data) {
        return new Tensor(name, DType.F32, shape, data);
    }
}
