package io.sparrowkv.encode;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Optional;

/**
 * Holds codes against the definition of {@link TopKEncoder}, evaluated in double precision.
 *
 * <p>Encoders may add in any order, and the rounding error of a sum in fp32 is in proportion to the sum of its terms' magnitudes,
 * |b| + Σ |w_i| |x_i|, not to the result, which cancellation can make as small as one likes. So that sum is what the relative
 * tolerance is taken of: an encoder may differ by it in a coefficient, and choose either of two latents that lie within it.
 */
public final class CodeCheck {
    /** Largest difference of a pre-activation, relative to the sum of its terms' magnitudes. */
    public static final double TOLERANCE = 1e-5;

    private final Dictionary dictionary;
    private final double[] exact;
    private final double[] slack;
    private final boolean[] kept;

    public CodeCheck(Dictionary dictionary) {
        this.dictionary = dictionary;
        this.exact = new double[dictionary.latents()];
        this.slack = new double[dictionary.latents()];
        this.kept = new boolean[dictionary.latents()];
    }

    /**
     * Checks one row's code: coefficients, the choice of latents, their order, ties, count and padding.
     *
     * @param vectors what was encoded, fp32 {@code [rows, dHead]}
     * @return the first thing that is wrong, in one line; empty when the code is right
     */
    public Optional<String> disagreement(MemorySegment vectors, CodeBatch codes, int row) {
        activate(vectors, row);
        int count = codes.count(row);
        if (count < 0 || count > codes.budget()) {
            return wrong(row, "count %d of a budget of %d".formatted(count, codes.budget()));
        }
        Arrays.fill(kept, false);
        for (int pair = 0; pair < codes.budget(); pair++) {
            Optional<String> found = pair < count ? pair(codes, row, pair) : padding(codes, row, pair);
            if (found.isPresent()) {
                return found;
            }
        }
        return omissions(codes, row);
    }

    private void activate(MemorySegment vectors, int row) {
        int dHead = dictionary.dHead();
        for (int latent = 0; latent < exact.length; latent++) {
            double sum = dictionary.encoderBias().getAtIndex(JAVA_FLOAT, latent);
            double magnitudes = Math.abs(sum);
            for (int i = 0; i < dHead; i++) {
                float centred = vectors.getAtIndex(JAVA_FLOAT, (long) row * dHead + i)
                        - dictionary.decoderBias().getAtIndex(JAVA_FLOAT, i);
                double term = (double) centred
                        * dictionary.encoderWeights().getAtIndex(JAVA_FLOAT, (long) latent * dHead + i);
                sum += term;
                magnitudes += Math.abs(term);
            }
            exact[latent] = sum;
            slack[latent] = TOLERANCE * magnitudes;
        }
    }

    private Optional<String> pair(CodeBatch codes, int row, int pair) {
        int latent = codes.index(row, pair);
        float coefficient = codes.coefficient(row, pair);
        if (latent < 0 || latent >= exact.length || kept[latent]) {
            return wrong(row, "pair %d: index %d is out of range or kept twice".formatted(pair, latent));
        }
        kept[latent] = true;
        if (!(coefficient > 0) || !(Math.abs(coefficient - exact[latent]) <= slack[latent])) {
            return wrong(
                    row,
                    "pair %d: coefficient %s of latent %d should be %s ± %s"
                            .formatted(pair, coefficient, latent, exact[latent], slack[latent]));
        }
        if (pair > 0) {
            float before = codes.coefficient(row, pair - 1);
            if (before < coefficient || before == coefficient && codes.index(row, pair - 1) > latent) {
                return wrong(row, "pair %d: out of order".formatted(pair));
            }
        }
        return Optional.empty();
    }

    private Optional<String> padding(CodeBatch codes, int row, int pair) {
        return codes.index(row, pair) == 0 && codes.coefficient(row, pair) == 0
                ? Optional.empty()
                : wrong(
                        row,
                        "pair %d: padding holds %d, %s"
                                .formatted(pair, codes.index(row, pair), codes.coefficient(row, pair)));
    }

    /** No latent left out may exceed the least one kept, or zero when there was room for more. */
    private Optional<String> omissions(CodeBatch codes, int row) {
        int count = codes.count(row);
        boolean full = count == codes.budget();
        int last = full ? codes.index(row, count - 1) : 0;
        double least = full ? exact[last] + slack[last] : 0;
        for (int latent = 0; latent < exact.length; latent++) {
            if (!kept[latent] && exact[latent] - slack[latent] > least) {
                return wrong(
                        row,
                        "latent %d is left out with %s, more than the least kept, %s"
                                .formatted(latent, exact[latent], least));
            }
        }
        return Optional.empty();
    }

    private static Optional<String> wrong(int row, String what) {
        return Optional.of("row " + row + ": " + what);
    }
}
