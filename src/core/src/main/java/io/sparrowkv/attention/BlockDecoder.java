package io.sparrowkv.attention;

import static io.sparrowkv.attention.Lanes.LANES;
import static io.sparrowkv.attention.Lanes.load;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;

import io.sparrowkv.codec.CodeBlockLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import jdk.incubator.vector.FloatVector;

/** Turns one KV head of a block, codes or quantized, back into vectors, and keys coded before RoPE forth. */
final class BlockDecoder {
    private final RotaryEmbedding rotary;
    private final int dHead;
    private final UnpackedCodes codes;
    private final MemorySegment rows;
    private final ResidualRows residuals;
    private final float[] vector;

    BlockDecoder(Arena arena, RotaryEmbedding rotary, int dHead, UnpackedCodes codes, ResidualRows residuals) {
        this.rotary = rotary;
        this.dHead = dHead;
        this.codes = codes;
        this.residuals = residuals;
        rows = arena.allocate((long) CodeBlockLayout.TOKENS * dHead * Float.BYTES, 64);
        vector = new float[dHead];
    }

    /**
     * Decodes keys as attention reads them, after RoPE.
     *
     * @param count tokens of the block
     * @return fp32 {@code [count, dHead]}, valid until the next call
     */
    MemorySegment keys(AttentionCall call, int head, int block, int count) {
        decode(call.keys, head, block, count, call.readKey);
        if (call.rotatesKeys) {
            rotary.rotate(rows, 0, count, 1, call.sinks + block * CodeBlockLayout.TOKENS);
        }
        return rows;
    }

    /** Decodes values; as {@link #keys}. */
    MemorySegment values(AttentionCall call, int head, int block, int count) {
        decode(call.values, head, block, count, call.readValue);
        return rows;
    }

    private void decode(KvSite site, int head, int block, int count, int read) {
        switch (site) {
            case CodedSite coded -> {
                Atoms atoms = coded.atoms(head);
                coded.unpack(codes, block, head, count, atoms.stride());
                decode(codes, read, count, dHead, atoms.weights(), atoms.bias(), rows);
                if (coded.readsResiduals(read)) {
                    residuals.decode(coded, head, block, count);
                    Lanes.add(residuals.rows(), rows, count * dHead);
                }
            }
            case QuantizedSite quantized -> quantized.decode(block, head, count, vector, rows);
            case TransformedSite transformed -> transformed.decode(block, head, count, rows);
        }
    }

    /**
     * rows[t] = bias + Σ_k coefficient[t][k] · atoms[index[t][k]] over the first {@code read} pairs.
     *
     * @param codes unpacked at the stride of the atoms
     * @param atoms fp32, {@code dims} from each of these offsets on
     * @param rows fp32 {@code [count, dims]}
     */
    static void decode(
            UnpackedCodes codes,
            int read,
            int count,
            int dims,
            MemorySegment atoms,
            MemorySegment bias,
            MemorySegment rows) {
        int[] offsets = codes.offsets;
        float[] coefficients = codes.coefficients;
        long rowBytes = (long) dims * Float.BYTES;
        int d = 0;
        for (; d <= dims - 4 * LANES; d += 4 * LANES) {
            long column = (long) d * Float.BYTES;
            FloatVector b0 = load(bias, column);
            FloatVector b1 = load(bias, column + Lanes.BYTES);
            FloatVector b2 = load(bias, column + 2 * Lanes.BYTES);
            FloatVector b3 = load(bias, column + 3 * Lanes.BYTES);
            for (int t = 0; t < count; t++) {
                FloatVector s0 = b0;
                FloatVector s1 = b1;
                FloatVector s2 = b2;
                FloatVector s3 = b3;
                int end = codes.end(t, read);
                for (int k = codes.first(t); k < end; k++) {
                    FloatVector coefficient = Lanes.broadcast(coefficients[k]);
                    long at = offsets[k] + column;
                    s0 = load(atoms, at).fma(coefficient, s0);
                    s1 = load(atoms, at + Lanes.BYTES).fma(coefficient, s1);
                    s2 = load(atoms, at + 2 * Lanes.BYTES).fma(coefficient, s2);
                    s3 = load(atoms, at + 3 * Lanes.BYTES).fma(coefficient, s3);
                }
                long to = t * rowBytes + column;
                s0.intoMemorySegment(rows, to, Lanes.ORDER);
                s1.intoMemorySegment(rows, to + Lanes.BYTES, Lanes.ORDER);
                s2.intoMemorySegment(rows, to + 2 * Lanes.BYTES, Lanes.ORDER);
                s3.intoMemorySegment(rows, to + 3 * Lanes.BYTES, Lanes.ORDER);
            }
        }
        for (; d <= dims - LANES; d += LANES) {
            long column = (long) d * Float.BYTES;
            FloatVector initial = load(bias, column);
            for (int t = 0; t < count; t++) {
                FloatVector sum = initial;
                int end = codes.end(t, read);
                for (int k = codes.first(t); k < end; k++) {
                    sum = load(atoms, offsets[k] + column).fma(Lanes.broadcast(coefficients[k]), sum);
                }
                sum.intoMemorySegment(rows, t * rowBytes + column, Lanes.ORDER);
            }
        }
        for (; d < dims; d++) {
            long column = (long) d * Float.BYTES;
            for (int t = 0; t < count; t++) {
                float sum = bias.get(JAVA_FLOAT_UNALIGNED, column);
                int end = codes.end(t, read);
                for (int k = codes.first(t); k < end; k++) {
                    sum = Math.fma(atoms.get(JAVA_FLOAT_UNALIGNED, offsets[k] + column), coefficients[k], sum);
                }
                rows.set(JAVA_FLOAT_UNALIGNED, t * rowBytes + column, sum);
            }
        }
    }
}
