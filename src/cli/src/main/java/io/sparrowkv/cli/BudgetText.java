package io.sparrowkv.cli;

import io.sparrowkv.attention.Budgets;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.encode.Refinement;
import java.util.Map;
import java.util.TreeSet;

/** Dual budgets as people write them: {@code 8/16}, with the layers that differ and the stored budgets when they are larger. */
final class BudgetText {
    private BudgetText() {}

    static String of(CacheOptions options) {
        String read = of(options.read());
        String budgets = options.stored().equals(options.read()) ? read : read + " of stored " + of(options.stored());
        Refinement refinement = options.refinement();
        String refined = refinement.kind() == Refinement.Kind.NONE ? budgets : budgets + " " + refinement.label();
        String kept = options.coefficients().scaled()
                ? refined + " " + options.coefficients().label() + "bit"
                : refined;
        Budgets residuals = options.residualBits();
        if (residuals.equals(Budgets.of(0, 0))) {
            return kept;
        }
        boolean alike = residuals.equals(Budgets.of(residuals.key(), residuals.key()));
        return kept + " residual:" + (alike ? Integer.toString(residuals.key()) : of(residuals));
    }

    private static String of(Budgets budgets) {
        StringBuilder text = new StringBuilder(budgets.key() + "/" + budgets.value());
        Map<Integer, Integer> keys = budgets.keyByLayer();
        Map<Integer, Integer> values = budgets.valueByLayer();
        TreeSet<Integer> layers = new TreeSet<>(keys.keySet());
        layers.addAll(values.keySet());
        for (int layer : layers) {
            text.append(", layer ")
                    .append(layer)
                    .append(' ')
                    .append(keys.getOrDefault(layer, budgets.key()))
                    .append('/')
                    .append(values.getOrDefault(layer, budgets.value()));
        }
        return text.toString();
    }
}
