package io.sparrowkv.encode;

import io.sparrowkv.bench.VectorCount;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
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

/** What a refinement adds to plain encoding, {@code none}; the figure to read is {@code vectors}, vectors a second. */
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class RefineBenchmark {
    private static final long SEED = 1;
    private static final int BATCH = 512;
    private static final double ROUNDING = 1e-4;

    /** The encoder under test. */
    @State(Scope.Benchmark)
    public static class Encoder {
        @Param({"none", "refit", "pursuit:32", "pursuit:64"})
        String refinement;

        @Param("128")
        int dHead;

        @Param("4096")
        int latents;

        @Param("16")
        int budget;

        @Param("2")
        int threads;

        Arena arena;
        Dictionary dictionary;
        MemorySegment vectors;
        EncoderBackend base;
        EncoderBackend refined;
        TopKEncoder encoder;
        CodeBatch codes;

        @Setup
        public void open() {
            arena = Arena.ofShared();
            dictionary = RandomDictionaries.dictionary(Site.of(0, VectorKind.KEY), RopeStage.PRE, dHead, latents, SEED);
            vectors = RandomDictionaries.vectors(arena, BATCH, dHead, SEED);
            base = Encoders.start("vector", threads);
            Refinement how = Refinement.parse(refinement);
            refined = how.kind() == Refinement.Kind.NONE ? base : new RefinedBackend(base, how, threads);
            encoder = refined.open(dictionary);
            codes = CodeBatch.allocate(BATCH, budget);
        }

        /** A refined code that leaves more than the atoms could has no figure. */
        @TearDown(Level.Iteration)
        public void check() {
            if (refined == base) {
                return;
            }
            ScalarPursuit oracle = new ScalarPursuit(dictionary);
            for (int row = 0; row < BATCH; row += BATCH / 8) {
                List<Integer> atoms = new ArrayList<>();
                for (int pair = 0; pair < codes.count(row); pair++) {
                    atoms.add(codes.index(row, pair));
                }
                ScalarPursuit.Code best = oracle.code(vectors, row, atoms, budget);
                for (int pair = 0; pair < atoms.size(); pair++) {
                    double expected = best.coefficients()[best.atoms().indexOf(atoms.get(pair))];
                    if (Math.abs(expected - codes.coefficient(row, pair)) > ROUNDING * (1 + Math.abs(expected))) {
                        throw new AssertionError("row %d, pair %d: %s where least squares give %s"
                                .formatted(row, pair, codes.coefficient(row, pair), expected));
                    }
                }
            }
        }

        @TearDown
        public void close() {
            codes.close();
            encoder.close();
            if (refined != base) {
                refined.close();
            }
            base.close();
            dictionary.close();
            arena.close();
        }
    }

    @Benchmark
    public CodeBatch encode(Encoder encoder, VectorCount count) {
        encoder.encoder.encode(encoder.vectors, BATCH, encoder.budget, encoder.codes);
        count.vectors += BATCH;
        return encoder.codes;
    }
}
