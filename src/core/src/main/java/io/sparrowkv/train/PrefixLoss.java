package io.sparrowkv.train;

import io.sparrowkv.io.InvalidInputException;
import java.util.List;

/**
 * Which prefixes of a code a dictionary is trained to be read at, after the multi-TopK loss of Gao et al. (arXiv 2406.04093): the
 * weighted mean of the squared errors at each budget.
 *
 * @param budgets ascending
 * @param weights one for each budget, positive; only their ratios matter
 */
public record PrefixLoss(List<Integer> budgets, List<Float> weights) {
    public static final PrefixLoss DEFAULT = of(List.of(4, 8, 16, 32));

    public PrefixLoss {
        budgets = List.copyOf(budgets);
        if (budgets.isEmpty() || budgets.size() > Byte.MAX_VALUE || budgets.size() != weights.size()) {
            throw new InvalidInputException(
                    "budgets %s with weights %s: give one weight for each budget".formatted(budgets, weights));
        }
        for (int i = 0; i < budgets.size(); i++) {
            if (budgets.get(i) <= (i == 0 ? 0 : budgets.get(i - 1))) {
                throw new InvalidInputException("budgets are " + budgets + "; give positive numbers, ascending");
            }
            if (!(weights.get(i) > 0) || !Float.isFinite(weights.get(i))) {
                throw new InvalidInputException("weights of the budgets are " + weights + "; all must be positive");
            }
        }
        double sum = weights.stream().mapToDouble(Float::doubleValue).sum();
        weights = weights.stream().map(weight -> (float) (weight / sum)).toList();
    }

    /** The same weight for each budget. */
    public static PrefixLoss of(List<Integer> budgets) {
        return new PrefixLoss(budgets, budgets.stream().map(budget -> 1f).toList());
    }

    /** Pairs of a code in training. */
    public int largestBudget() {
        return budgets.getLast();
    }
}
