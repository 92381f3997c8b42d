package io.sparrowkv.eval;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import ai.djl.ndarray.NDArray;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.Libtorch;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The attention outputs of a chunk, layer by layer: taken down while the model reads with the dense cache, then compared while it reads
 * the same chunk with another. The error of a layer includes what the layers before it did to its input.
 */
final class LayerOutputs {
    private final float[][] outputs;

    LayerOutputs(int layers) {
        outputs = new float[layers][];
    }

    /** A view of {@code cache} that takes its outputs down. It is not to be closed. */
    KvCache recording(KvCache cache) {
        return new View(cache) {
            @Override
            void seen(int layer, MemorySegment output) {
                outputs[layer] = output.toArray(JAVA_FLOAT);
            }
        };
    }

    /** A view of {@code cache} that adds up how far its outputs are from those taken down. It is not to be closed. */
    KvCache comparing(KvCache cache, Errors errors) {
        return new View(cache) {
            @Override
            void seen(int layer, MemorySegment output) {
                float[] expected = outputs[layer];
                double square = 0;
                double error = 0;
                for (int i = 0; i < expected.length; i++) {
                    double difference = expected[i] - output.getAtIndex(JAVA_FLOAT, i);
                    error += difference * difference;
                    square += (double) expected[i] * expected[i];
                }
                errors.squares[layer] += square;
                errors.errors[layer] += error;
            }
        };
    }

    /** Sums over all chunks of a text. */
    static final class Errors {
        private final double[] squares;
        private final double[] errors;

        Errors(int layers) {
            squares = new double[layers];
            errors = new double[layers];
        }

        /** Squared error of each layer's outputs by the square of the dense ones. */
        List<Double> relative() {
            return IntStream.range(0, errors.length)
                    .mapToObj(layer -> errors[layer] / squares[layer])
                    .toList();
        }
    }

    private abstract static class View implements KvCache {
        private final KvCache cache;

        View(KvCache cache) {
            this.cache = cache;
        }

        abstract void seen(int layer, MemorySegment output);

        @Override
        public NDArray attend(int layer, NDArray queries, NDArray keys, NDArray values) {
            NDArray output = cache.attend(layer, queries, keys, values);
            seen(layer, Libtorch.memory(output));
            return output;
        }

        @Override
        public int length() {
            return cache.length();
        }

        @Override
        public long byteSize() {
            return cache.byteSize();
        }

        @Override
        public void close() {
            throw new UnsupportedOperationException("the cache is its owner's to close");
        }
    }
}
