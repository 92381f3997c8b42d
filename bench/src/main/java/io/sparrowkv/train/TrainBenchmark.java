package io.sparrowkv.train;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.training.GradientCollector;
import io.sparrowkv.bench.TorchAutoencoder;
import io.sparrowkv.bench.VectorCount;
import io.sparrowkv.concurrent.Workers;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
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
 * A training step from vectors in memory, beside libtorch's autograd through the same autoencoder in the same run. The figure to read
 * is {@code vectors}, vectors a second. libtorch is given less to do: one budget, and no optimiser.
 */
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 5, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public class TrainBenchmark {
    private static final long SEED = 1;

    /** Vectors and shapes. */
    @State(Scope.Benchmark)
    public static class Batch {
        @Param("128")
        int dHead;

        @Param("4096")
        int latents;

        @Param("2048")
        int batch;

        @Param("2")
        int threads;

        Arena arena;
        MemorySegment vectors;

        @Setup
        public void open() {
            arena = Arena.ofShared();
            vectors = RandomDictionaries.vectors(arena, batch, dHead, SEED);
        }

        @TearDown
        public void close() {
            arena.close();
        }
    }

    /** The trainer under test. */
    @State(Scope.Benchmark)
    public static class Trainer {
        EncoderBackend backend;
        Workers workers;
        Dictionary dictionary;
        SaeTrainer trainer;

        @Setup
        public void open(Batch batch) {
            backend = Encoders.start("vector", batch.threads);
            workers = Workers.start("train", batch.threads);
            dictionary = Dictionary.allocate(Site.of(0, VectorKind.VALUE), RopeStage.PRE, batch.dHead, batch.latents);
            Schedule schedule = new Schedule(Integer.MAX_VALUE, batch.batch, 1e-4f, 0, 0);
            trainer = new SaeTrainer(dictionary, TrainerSettings.of(batch.latents, schedule, SEED), backend, workers);
            trainer.initialise(batch.vectors, batch.batch);
        }

        @TearDown
        public void close() {
            trainer.close();
            dictionary.close();
            workers.close();
            backend.close();
        }
    }

    /** The same autoencoder in libtorch. */
    @State(Scope.Benchmark)
    public static class Libtorch {
        TorchAutoencoder arrays;

        @Setup
        public void open(Batch batch) {
            try (Dictionary dictionary = RandomDictionaries.dictionary(
                    Site.of(0, VectorKind.VALUE), RopeStage.PRE, batch.dHead, batch.latents, SEED)) {
                arrays = new TorchAutoencoder(dictionary, batch.vectors, batch.batch, batch.threads);
            }
            arrays.requireGradients();
        }

        @TearDown
        public void close() {
            arrays.close();
        }
    }

    @Benchmark
    public StepResult trainer(Batch batch, Trainer trainer, VectorCount count) {
        StepResult result = trainer.trainer.step(batch.vectors, batch.batch);
        count.vectors += batch.batch;
        return result;
    }

    @Benchmark
    public float libtorch(Batch batch, Libtorch torch, VectorCount count) {
        int budget = PrefixLoss.DEFAULT.largestBudget();
        try (NDManager scope = torch.arrays.newScope();
                GradientCollector gradients = Engine.getInstance().newGradientCollector()) {
            NDArray vectors = torch.arrays.vectors().duplicate();
            vectors.attach(scope);
            NDArray z = vectors.sub(torch.arrays.decoderBias())
                    .matMul(torch.arrays.encoder().transpose())
                    .add(torch.arrays.encoderBias());
            NDList largest = z.stopGradient().topK(budget, 1, true, true);
            NDArray least = largest.get(0).get(":, {}", budget - 1).reshape(batch.batch, 1);
            NDArray kept = z.gte(least).toType(DataType.FLOAT32, false);
            NDArray decoded = z.mul(kept).matMul(torch.arrays.decoder()).add(torch.arrays.decoderBias());
            NDArray loss = decoded.sub(vectors).square().mean();
            gradients.backward(loss);
            count.vectors += batch.batch;
            return loss.getFloat();
        }
    }
}
