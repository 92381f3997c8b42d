package io.sparrowkv.attention;

import io.sparrowkv.sae.VectorKind;
import java.util.Map;
import java.util.TreeMap;

/**
 * A dual budget: pairs of a code for keys and for values, which layers may override. A site with budget {@link #DENSE} is not coded:
 * its vectors are kept as fp16.
 *
 * @param key pairs of a key's code, where {@code keyByLayer} says nothing else
 * @param value pairs of a value's code, where {@code valueByLayer} says nothing else
 * @param keyByLayer overrides for keys, by layer
 * @param valueByLayer overrides for values, by layer
 */
public record Budgets(int key, int value, Map<Integer, Integer> keyByLayer, Map<Integer, Integer> valueByLayer) {
    /** The budget of a site whose vectors are kept as fp16. */
    public static final int DENSE = 0;

    public Budgets {
        keyByLayer = Map.copyOf(keyByLayer);
        valueByLayer = Map.copyOf(valueByLayer);
    }

    /** The same budgets in all layers. */
    public static Budgets of(int key, int value) {
        return new Budgets(key, value, Map.of(), Map.of());
    }

    /** These budgets with another one for a layer's keys or values. */
    public Budgets with(int layer, VectorKind kind, int budget) {
        Map<Integer, Integer> overrides = new TreeMap<>(byLayer(kind));
        overrides.put(layer, budget);
        return kind == VectorKind.KEY
                ? new Budgets(key, value, overrides, valueByLayer)
                : new Budgets(key, value, keyByLayer, overrides);
    }

    /** The budget of a layer's keys or values. */
    public int of(int layer, VectorKind kind) {
        return byLayer(kind).getOrDefault(layer, kind == VectorKind.KEY ? key : value);
    }

    private Map<Integer, Integer> byLayer(VectorKind kind) {
        return kind == VectorKind.KEY ? keyByLayer : valueByLayer;
    }
}
