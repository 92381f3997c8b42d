package io.sparrowkv.llm.model;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

final class Rotation {
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT;
    private final float[] inverseFrequencies;
    private float[] cos = {};
    private float[] sin = {};

    Rotation(float[] inverseFrequencies) {
        this.inverseFrequencies = inverseFrequencies;
    }

    void rotate(MemorySegment vectors, int firstPosition, int tokens, int heads) {
        int half = inverseFrequencies.length;
        reach(firstPosition + tokens);
        for (int t = 0; t < tokens; t++) {
            int table = (firstPosition + t) * half;
            for (int h = 0; h < heads; h++) {
                long base = ((long) t * heads + h) * 2 * half;
                for (int i = 0; i < half; i++) {
                    float a = vectors.getAtIndex(FLOAT, base + i);
                    float b = vectors.getAtIndex(FLOAT, base + half + i);
                    vectors.setAtIndex(FLOAT, base + i, a * cos[table + i] - b * sin[table + i]);
                    vectors.setAtIndex(FLOAT, base + half + i, b * cos[table + i] + a * sin[table + i]);
                }
            }
        }
    }

    private void reach(int positions) {
        int half = inverseFrequencies.length;
        int have = cos.length / half;
        if (positions <= have) {
            return;
        }
        int want = Math.max(positions, 2 * have);
        cos = Arrays.copyOf(cos, want * half);
        sin = Arrays.copyOf(sin, want * half);
        for (int p = have; p < want; p++) {
            for (int i = 0; i < half; i++) {
                float angle = p * inverseFrequencies[i];
                cos[p * half + i] = (float) Math.cos(angle);
                sin[p * half + i] = (float) Math.sin(angle);
            }
        }
    }
}
