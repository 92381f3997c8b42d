package io.sparrowkv.llm.model;

import ai.djl.ndarray.NDArray;
import io.sparrowkv.capture.Tap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Keeps all that passes, token by token: vectors of all KV heads, head after head. */
final class RecordingProbe implements KvProbe {
    static final String PROJECTION = "projection";

    private final Map<String, List<float[]>> seen = new HashMap<>();

    @Override
    public void observe(int layer, Tap tap, int firstPosition, NDArray vectors) {
        keep(layer + tap.label(), firstPosition, vectors);
    }

    @Override
    public void observeKeyProjection(int layer, int firstPosition, NDArray vectors) {
        keep(layer + PROJECTION, firstPosition, vectors);
    }

    private void keep(String key, int firstPosition, NDArray vectors) {
        List<float[]> rows = seen.computeIfAbsent(key, k -> new ArrayList<>());
        if (rows.size() != firstPosition) {
            throw new AssertionError(key + ": position " + firstPosition + " after " + rows.size() + " tokens");
        }
        int tokens = (int) vectors.getShape().get(0);
        float[] values = vectors.toFloatArray();
        int width = values.length / tokens;
        for (int i = 0; i < tokens; i++) {
            rows.add(Arrays.copyOfRange(values, i * width, (i + 1) * width));
        }
    }

    List<float[]> of(int layer, String what) {
        return seen.get(layer + what);
    }
}
