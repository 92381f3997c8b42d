package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * What the tasks of {@link LatentAttention} found, each over a part of the tokens: sums of values relative to a reference score. Parts
 * are put together exactly, by bringing them to the largest reference (Dao et al., flash-decoding).
 */
final class PartialOutputs {
    private final int dHead;
    private final int width;
    private float[] references = {};
    private float[] weights = {};
    private int[] queries = {};
    private float[] sums = {};
    private final float[] output;

    /** @param width most queries of a task */
    PartialOutputs(int dHead, int width) {
        this.dHead = dHead;
        this.width = width;
        output = new float[dHead];
    }

    /** Makes room for {@code tasks} results. */
    void reserve(int tasks) {
        if (references.length < tasks * width) {
            references = new float[tasks * width];
            weights = new float[tasks * width];
            queries = new int[tasks * width];
            sums = new float[tasks * width * dHead];
        }
    }

    /** Takes the result of one task. @param sums of values, fp32 {@code [width, dHead]} */
    void put(int task, QueryPanel panel, MemorySegment sums) {
        for (int column = 0; column < width; column++) {
            int at = task * width + column;
            boolean used = column < panel.used();
            queries[at] = used ? panel.query(column) : -1;
            references[at] = panel.reference(column);
            weights[at] = panel.sum(column);
        }
        MemorySegment.copy(sums, JAVA_FLOAT, 0, this.sums, task * width * dHead, width * dHead);
    }

    /** Writes the outputs of the queries of tasks {@code first} to {@code first + parts}, which are parts of the same ones. */
    void write(int first, int parts, MemorySegment outputs) {
        for (int column = 0; column < width && queries[first * width + column] >= 0; column++) {
            float reference = Float.NEGATIVE_INFINITY;
            for (int part = 0; part < parts; part++) {
                reference = Math.max(reference, references[(first + part) * width + column]);
            }
            float weight = 0;
            Arrays.fill(output, 0f);
            for (int part = 0; part < parts; part++) {
                int at = (first + part) * width + column;
                float factor = (float) Math.exp(references[at] - reference);
                weight += factor * weights[at];
                for (int d = 0; d < dHead; d++) {
                    output[d] += factor * sums[at * dHead + d];
                }
            }
            for (int d = 0; d < dHead; d++) {
                output[d] /= weight;
            }
            long to = (long) queries[first * width + column] * dHead * Float.BYTES;
            MemorySegment.copy(output, 0, outputs, JAVA_FLOAT_UNALIGNED, to, dHead);
        }
    }
}
