package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import io.sparrowkv.bench.TorchAutoencoder;
import io.sparrowkv.bench.VectorCount;
import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import jdk.incubator.vector.FloatVector;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Encoding a batch, beside libtorch's matmul and topK in the same run. The figure to read is {@code vectors}, vectors a second;
 * times 2 dHead latents it is the floating-point rate of the product.
 *
 * <p>It lies in the encoders' package because {@link #product} runs the tile alone.
 */
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class EncodeBenchmark {
    private static final long SEED = 1;

    /** Dictionary and vectors. */
    @State(Scope.Benchmark)
    public static class Batch {
        @Param("128")
        int dHead;

        @Param("4096")
        int latents;

        @Param("16")
        int budget;

        @Param("512")
        int batch;

        @Param("2")
        int threads;

        Arena arena;
        Dictionary dictionary;
        MemorySegment vectors;

        @Setup
        public void open() {
            arena = Arena.ofShared();
            dictionary = RandomDictionaries.dictionary(Site.of(0, VectorKind.KEY), RopeStage.PRE, dHead, latents, SEED);
            vectors = RandomDictionaries.vectors(arena, batch, dHead, SEED);
        }

        @TearDown
        public void close() {
            dictionary.close();
            arena.close();
        }
    }

    /** The encoder under test. */
    @State(Scope.Benchmark)
    public static class Encoder {
        EncoderBackend backend;
        TopKEncoder encoder;
        CodeBatch codes;

        @Setup
        public void open(Batch batch) {
            backend = Encoders.start("vector", batch.threads);
            encoder = backend.open(batch.dictionary);
            codes = CodeBatch.allocate(batch.batch, batch.budget);
        }

        /** A fast encoder that is wrong has no figure. */
        @TearDown(Level.Iteration)
        public void check(Batch batch) {
            Optional<String> wrong =
                    new CodeCheck(batch.dictionary).disagreement(batch.vectors, codes, batch.batch - 1);
            if (wrong.isPresent()) {
                throw new AssertionError(wrong.get());
            }
        }

        @TearDown
        public void close() {
            codes.close();
            encoder.close();
            backend.close();
        }
    }

    /** The tile over all panels, without centring and selection. */
    @State(Scope.Benchmark)
    public static class Product {
        private static final int BLOCK_ROWS = 66;

        Workers workers;
        ProductTile tile;
        PackedWeights weights;
        float[] x;
        float[][] z;
        int blocks;
        Workers.Task task;

        @Setup
        public void open(Batch batch) {
            workers = Workers.start("product", batch.threads);
            tile = ProductTile.preferred();
            int columns = tile.vectors() * FloatVector.SPECIES_PREFERRED.length();
            weights = new PackedWeights(batch.dictionary, columns);
            for (int panel = 0; panel < weights.panels(); panel++) {
                weights.pack(panel, new float[weights.scratch()]);
            }
            x = new float[BLOCK_ROWS * batch.dHead];
            for (int i = 0; i < x.length; i++) {
                x[i] = batch.vectors.getAtIndex(JAVA_FLOAT, i % (batch.dHead * batch.batch));
            }
            z = new float[batch.threads][BLOCK_ROWS * weights.panels() * columns];
            blocks = Math.ceilDiv(batch.batch, BLOCK_ROWS);
            int size = tile.rows() * columns;
            task = (block, worker) -> {
                for (int panel = 0; panel < weights.panels(); panel++) {
                    for (int t = 0; t < BLOCK_ROWS / tile.rows(); t++) {
                        tile.multiply(
                                x,
                                t * tile.rows() * batch.dHead,
                                weights.packed(),
                                weights.at(panel),
                                batch.dHead,
                                z[worker],
                                (t * weights.panels() + panel) * size);
                    }
                }
            };
        }

        @TearDown
        public void close() {
            workers.close();
        }
    }

    /** The same work for libtorch. */
    @State(Scope.Benchmark)
    public static class Libtorch {
        TorchAutoencoder arrays;
        NDArray weights;

        @Setup
        public void open(Batch batch) {
            arrays = new TorchAutoencoder(batch.dictionary, batch.vectors, batch.batch, batch.threads);
            weights = arrays.encoder().transpose();
        }

        @TearDown
        public void close() {
            arrays.close();
        }
    }

    @Benchmark
    public CodeBatch vector(Batch batch, Encoder encoder, VectorCount count) {
        encoder.encoder.encode(batch.vectors, batch.batch, batch.budget, encoder.codes);
        count.vectors += batch.batch;
        return encoder.codes;
    }

    @Benchmark
    public float[][] product(Batch batch, Product product, VectorCount count) {
        product.workers.forEach(product.blocks, product.task);
        count.vectors += (long) product.blocks * Product.BLOCK_ROWS;
        return product.z;
    }

    @Benchmark
    public long libtorch(Batch batch, Libtorch torch, VectorCount count) {
        try (NDManager scope = torch.arrays.newScope()) {
            NDArray vectors = torch.arrays.vectors().duplicate();
            vectors.attach(scope);
            NDArray preActivations = vectors.subi(torch.arrays.decoderBias())
                    .matMul(torch.weights)
                    .addi(torch.arrays.encoderBias());
            NDArray rectified = preActivations.getNDArrayInternal().relu();
            NDList codes = rectified.topK(batch.budget, 1);
            count.vectors += batch.batch;
            return codes.get(0).size();
        }
    }

    @Benchmark
    public long libtorchProduct(Batch batch, Libtorch torch, VectorCount count) {
        try (NDArray product = torch.arrays.vectors().matMul(torch.weights)) {
            count.vectors += batch.batch;
            return product.size();
        }
    }
}
