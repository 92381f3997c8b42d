package io.sparrowkv.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** The vectors of a benchmark and its autoencoder's weights in libtorch. */
public final class TorchAutoencoder implements AutoCloseable {
    private final TorchArrays arrays;
    private final NDArray vectors;
    private final NDArray encoder;
    private final NDArray decoder;
    private final NDArray encoderBias;
    private final NDArray decoderBias;

    /**
     * @param dictionary copied, and so are the vectors
     * @param vectors {@code [rows, dHead]}
     * @param threads of libtorch's operators
     */
    public TorchAutoencoder(Dictionary dictionary, MemorySegment vectors, int rows, int threads) {
        int latents = dictionary.latents();
        int dHead = dictionary.dHead();
        this.arrays = new TorchArrays(threads);
        this.vectors = arrays.copy(vectors, rows, dHead);
        this.encoder = arrays.copy(dictionary.encoderWeights(), latents, dHead);
        this.decoder = arrays.copy(dictionary.decoderWeights(), latents, dHead);
        this.encoderBias = arrays.copy(dictionary.encoderBias(), latents);
        this.decoderBias = arrays.copy(dictionary.decoderBias(), dHead);
    }

    /** Makes autograd follow the weights. */
    public void requireGradients() {
        List.of(encoder, decoder, encoderBias, decoderBias).forEach(weights -> weights.setRequiresGradient(true));
    }

    /** {@code [rows, dHead]}. */
    public NDArray vectors() {
        return vectors;
    }

    /** {@code [latents, dHead]}. */
    public NDArray encoder() {
        return encoder;
    }

    /** {@code [latents, dHead]}. */
    public NDArray decoder() {
        return decoder;
    }

    public NDArray encoderBias() {
        return encoderBias;
    }

    public NDArray decoderBias() {
        return decoderBias;
    }

    /** Frees what is attached to it when it is closed: the results of one call. */
    public NDManager newScope() {
        return arrays.newScope();
    }

    @Override
    public void close() {
        arrays.close();
    }
}
