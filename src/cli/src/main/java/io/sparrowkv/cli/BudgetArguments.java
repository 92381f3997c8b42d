package io.sparrowkv.cli;

import io.sparrowkv.attention.Budgets;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.encode.Refinement;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.VectorKind;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** What of its tokens a sparse cache keeps dense, stores and reads. */
public final class BudgetArguments {
    @Mixin
    private DenseTokensArguments denseTokens;

    @Option(
            names = "--budget-key",
            paramLabel = "K",
            description = "Pairs read of a key's code (default: 8); 0 keeps keys as fp16.")
    private Optional<Integer> budgetKey = Optional.empty();

    @Option(
            names = "--budget-value",
            paramLabel = "K",
            description = "Pairs read of a value's code (default: 16); 0 keeps values as fp16.")
    private Optional<Integer> budgetValue = Optional.empty();

    @Option(
            names = "--layer-budget",
            paramLabel = "LAYER=K/K",
            split = ",",
            converter = LayerBudgetConverter.class,
            description =
                    "Other budgets for one layer's keys and values, such as 3=16/32, or 3=0/16 to keep its keys as fp16; may be repeated.")
    private List<LayerBudget> layerBudgets = List.of();

    @Option(
            names = "--stored-key",
            paramLabel = "K",
            description = "Pairs stored of a key's code, at least those read (default: those read).")
    private Optional<Integer> storedKey = Optional.empty();

    @Option(
            names = "--stored-value",
            paramLabel = "K",
            description = "Pairs stored of a value's code, at least those read (default: those read).")
    private Optional<Integer> storedValue = Optional.empty();

    @Option(
            names = "--refine",
            paramLabel = "HOW",
            converter = RefinementConverter.class,
            description = "Better the encoder's codes before they are kept: none, refit (fit the coefficients by least"
                    + " squares), pursuit:C (also choose the atoms anew among the encoder's C best) or pursuit:C:E (and end"
                    + " each code where no more than the part E of its vector is left, such as 0.2; the budgets are"
                    + " then the most pairs) (default: none).")
    private Optional<Refinement> refinement = Optional.empty();

    /** Whether any option says how vectors are coded: all but window and sinks. */
    boolean sayHowToCode() {
        return !layerBudgets.isEmpty()
                || Stream.of(budgetKey, budgetValue, storedKey, storedValue, refinement, coefficients, residualBits)
                        .anyMatch(Optional::isPresent);
    }

    @Option(
            names = "--coefficients",
            paramLabel = "BITS",
            converter = CoefficientsConverter.class,
            description =
                    "What coefficients are kept as: fp16 beside 16-bit indices, or levels of 8, 6 or 4 bits with a"
                            + " scale for each vector, beside the fewest bits that name an atom (default: fp16).")
    private Optional<Coefficients> coefficients = Optional.empty();

    @Option(
            names = "--residual",
            paramLabel = "BITS",
            description = "Keep what the pairs leave of a vector too, rotated, 1 to 4 bits of each number; needs"
                    + " --coefficients 8, 6 or 4 (default: 0, nothing of it).")
    private Optional<Integer> residualBits = Optional.empty();

    /**
     * The options as the cache takes them; it checks them against model and dictionaries itself.
     *
     * @param threads threads of attention
     * @throws InvalidInputException when one layer has two budgets
     */
    public CacheOptions options(int threads) {
        Budgets read = Budgets.of(
                budgetKey.orElse(CacheOptions.DEFAULT_BUDGETS.key()),
                budgetValue.orElse(CacheOptions.DEFAULT_BUDGETS.value()));
        Set<Integer> layers = new HashSet<>();
        for (LayerBudget own : layerBudgets) {
            if (!layers.add(own.layer())) {
                throw new InvalidInputException("--layer-budget: layer " + own.layer() + " is named twice; keep one");
            }
            read = read.with(own.layer(), VectorKind.KEY, own.key()).with(own.layer(), VectorKind.VALUE, own.value());
        }
        // A stored budget that is not given follows what each layer reads.
        Budgets stored = new Budgets(
                storedKey.orElse(read.key()),
                storedValue.orElse(read.value()),
                storedKey.isPresent() ? Map.of() : read.keyByLayer(),
                storedValue.isPresent() ? Map.of() : read.valueByLayer());
        return denseTokens
                .options(threads)
                .withBudgets(read, stored)
                .withRefinement(refinement.orElse(Refinement.NONE))
                .withCoefficients(coefficients.orElse(Coefficients.FP16))
                .withResidualBits(residualBits.orElse(0));
    }

    /** Reads {@code pursuit:64}. */
    static final class RefinementConverter implements ITypeConverter<Refinement> {
        @Override
        public Refinement convert(String text) {
            try {
                return Refinement.parse(text);
            } catch (InvalidInputException e) {
                throw new TypeConversionException(e.getMessage());
            }
        }
    }

    /** Reads {@code fp16} or {@code 4}. */
    static final class CoefficientsConverter implements ITypeConverter<Coefficients> {
        @Override
        public Coefficients convert(String text) {
            try {
                return Coefficients.parse(text);
            } catch (InvalidInputException e) {
                throw new TypeConversionException(e.getMessage());
            }
        }
    }

    /** Budgets of one layer. */
    record LayerBudget(int layer, int key, int value) {}

    /** Reads {@code 3=16/32}. */
    static final class LayerBudgetConverter implements ITypeConverter<LayerBudget> {
        private static final Pattern FORM = Pattern.compile("(\\d{1,6})=(\\d{1,6})/(\\d{1,6})");

        @Override
        public LayerBudget convert(String text) {
            Matcher matcher = FORM.matcher(text);
            if (!matcher.matches()) {
                throw new TypeConversionException("'" + text + "' is not LAYER=KEY/VALUE, such as 3=16/32 for layer 3");
            }
            return new LayerBudget(
                    Integer.parseInt(matcher.group(1)),
                    Integer.parseInt(matcher.group(2)),
                    Integer.parseInt(matcher.group(3)));
        }
    }
}
