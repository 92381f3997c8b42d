package io.sparrowkv.cli;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.ScalarTopKEncoder;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.SplittableRandom;

/**
 * How fast a backend encodes random vectors with a random dictionary, and whether it agrees with the oracle while it does.
 *
 * @param encoder name of the backend
 * @param description what it ran on
 * @param vectorsPerSecond from the median time of a batch
 * @param batchMillis median time of a batch
 * @param gigaflops of the product alone, 2 · dHead · latents a vector
 * @param largestDifference largest relative difference of a coefficient from the oracle's, rank by rank
 */
record EncodeMeasurement(
        String encoder,
        String description,
        double vectorsPerSecond,
        double batchMillis,
        double gigaflops,
        double largestDifference) {
    /** Above it an encoder does not agree with the oracle; the encoders' own contract. */
    static final double TOLERANCE = 1e-5;

    private static final int CHECKED_ROWS = 16;

    /** Shape of the work. */
    record Workload(int dHead, int latents, int budget, int rows, long seed) {
        /** The shape of the STA-Attention paper, in batches of eight blocks of 64 tokens. */
        static final Workload STANDARD = new Workload(128, 4096, 16, 512, 1);
    }

    boolean agrees() {
        return largestDifference <= TOLERANCE;
    }

    /** Warms up, then measures for about {@code seconds}. */
    static EncodeMeasurement of(EncoderBackend backend, Workload work, double seconds) {
        try (Dictionary dictionary = randomDictionary(work);
                TopKEncoder encoder = backend.open(dictionary);
                CodeBatch codes = CodeBatch.allocate(work.rows(), work.budget());
                Arena arena = Arena.ofConfined()) {
            MemorySegment vectors = arena.allocate((long) work.rows() * work.dHead() * Float.BYTES, 64);
            fill(vectors, 1, new SplittableRandom(work.seed() + 1));
            double nanos =
                    Median.nanosPerCall(seconds, () -> encoder.encode(vectors, work.rows(), work.budget(), codes));
            double perSecond = work.rows() / nanos * 1e9;
            return new EncodeMeasurement(
                    backend.name(),
                    backend.description(),
                    perSecond,
                    nanos / 1e6,
                    2.0 * work.dHead() * work.latents() * perSecond / 1e9,
                    largestDifference(dictionary, vectors, codes, work));
        }
    }

    private static double largestDifference(
            Dictionary dictionary, MemorySegment vectors, CodeBatch codes, Workload work) {
        int rows = Math.min(CHECKED_ROWS, work.rows());
        double largest = 0;
        try (TopKEncoder oracle = new ScalarTopKEncoder(dictionary);
                CodeBatch expected = CodeBatch.allocate(rows, work.budget())) {
            oracle.encode(vectors, rows, work.budget(), expected);
            for (int row = 0; row < rows; row++) {
                if (expected.count(row) != codes.count(row)) {
                    return Double.POSITIVE_INFINITY;
                }
                for (int pair = 0; pair < expected.count(row); pair++) {
                    double wanted = expected.coefficient(row, pair);
                    largest = Math.max(largest, Math.abs(codes.coefficient(row, pair) - wanted) / wanted);
                }
            }
        }
        return largest;
    }

    private static Dictionary randomDictionary(Workload work) {
        Dictionary dictionary =
                Dictionary.allocate(Site.of(0, VectorKind.VALUE), RopeStage.PRE, work.dHead(), work.latents());
        SplittableRandom random = new SplittableRandom(work.seed());
        double scale = 1 / Math.sqrt(work.dHead());
        fill(dictionary.encoderWeights(), scale, random);
        fill(dictionary.decoderWeights(), scale, random);
        return dictionary;
    }

    private static void fill(MemorySegment segment, double scale, SplittableRandom random) {
        for (long i = 0; i < segment.byteSize() / Float.BYTES; i++) {
            segment.setAtIndex(JAVA_FLOAT, i, (float) (scale * random.nextGaussian()));
        }
    }
}
