package io.sparrowkv.attention;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The rotary position embedding of a model (Su et al., arXiv 2104.09864) in the rotate-half layout of Hugging Face: elements i and
 * i + dHead/2 of a head are turned by position · inverseFrequencies[i]. Model and caches share one, so that both turn by the
 * same bits.
 *
 * <p>Angles are fp32 products, cosines and sines are rounded to fp32. Safe for use by several threads.
 */
public final class RotaryEmbedding {
    private static final int FIRST_POSITIONS = 1024;
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final ByteOrder ORDER = ByteOrder.nativeOrder();

    private final float[] inverseFrequencies;
    private volatile Tables tables;

    /**
     * Cosines and sines of the first positions; a snapshot that stays valid when the embedding grows.
     *
     * @param positions rows of both tables
     * @param cos fp32 {@code [positions, dHead / 2]}
     * @param sin fp32 {@code [positions, dHead / 2]}
     */
    public record Tables(int positions, MemorySegment cos, MemorySegment sin) {}

    /** @param inverseFrequencies radians a position of each pair of elements, {@code [dHead / 2]} */
    public RotaryEmbedding(float[] inverseFrequencies) {
        if (inverseFrequencies.length == 0) {
            throw new IllegalArgumentException("no frequencies");
        }
        this.inverseFrequencies = inverseFrequencies.clone();
        this.tables = new Tables(0, MemorySegment.NULL, MemorySegment.NULL);
    }

    /** The plain embedding. */
    public static RotaryEmbedding plain(int dHead, double theta) {
        return new RotaryEmbedding(frequencies(dHead, theta));
    }

    /** The plain embedding's inverse frequencies, theta^(−2i/dHead), {@code [dHead / 2]}. */
    public static float[] frequencies(int dHead, double theta) {
        float[] frequencies = new float[dHead / 2];
        for (int i = 0; i < frequencies.length; i++) {
            frequencies[i] = (float) (1.0 / Math.pow(theta, 2.0 * i / dHead));
        }
        return frequencies;
    }

    /** Width of the vectors it turns. */
    public int dHead() {
        return 2 * inverseFrequencies.length;
    }

    /** Tables of at least {@code positions} positions. */
    public Tables tables(int positions) {
        Tables current = tables;
        return positions <= current.positions() ? current : grow(positions);
    }

    /**
     * Turns vectors in place, as the model does.
     *
     * @param vectors fp32 {@code [tokens, heads, dHead]} from {@code byteOffset} on
     * @param firstPosition position of the first token
     */
    public void rotate(MemorySegment vectors, long byteOffset, int tokens, int heads, int firstPosition) {
        turn(vectors, byteOffset, tokens, heads, firstPosition, 1f);
    }

    /** Turns vectors back: the inverse of {@link #rotate}, since a rotation is orthogonal. */
    public void unrotate(MemorySegment vectors, long byteOffset, int tokens, int heads, int firstPosition) {
        turn(vectors, byteOffset, tokens, heads, firstPosition, -1f);
    }

    /**
     * Turns a slice of one vector for each of some tokens: the pairs of elements i and i + dHead / 2 for {@code pairs} i.
     *
     * @param slices fp32 {@code [tokens, 2, stride]}, of which the first {@code pairs} of each row are turned
     */
    void rotateSlices(MemorySegment slices, int tokens, int stride, int firstPair, int pairs, int firstPosition) {
        Tables current = tables(firstPosition + tokens);
        long half = inverseFrequencies.length;
        for (int token = 0; token < tokens; token++) {
            long angles = ((firstPosition + token) * half + firstPair) * Float.BYTES;
            long low = 2L * token * stride * Float.BYTES;
            turn(slices, low, low + (long) stride * Float.BYTES, pairs, current.cos(), current.sin(), angles, 1f);
        }
    }

    private void turn(
            MemorySegment vectors, long byteOffset, int tokens, int heads, int firstPosition, float direction) {
        Tables current = tables(firstPosition + tokens);
        int half = inverseFrequencies.length;
        long halfBytes = (long) half * Float.BYTES;
        for (int token = 0; token < tokens; token++) {
            long angles = (firstPosition + token) * halfBytes;
            for (int head = 0; head < heads; head++) {
                long low = byteOffset + ((long) token * heads + head) * 2 * halfBytes;
                turn(vectors, low, low + halfBytes, half, current.cos(), current.sin(), angles, direction);
            }
        }
    }

    private static void turn(
            MemorySegment vectors,
            long low,
            long high,
            int pairs,
            MemorySegment cosines,
            MemorySegment sines,
            long angles,
            float direction) {
        int i = 0;
        for (; i <= pairs - SPECIES.length(); i += SPECIES.length()) {
            long at = (long) i * Float.BYTES;
            FloatVector cos = FloatVector.fromMemorySegment(SPECIES, cosines, angles + at, ORDER);
            FloatVector sin = FloatVector.fromMemorySegment(SPECIES, sines, angles + at, ORDER)
                    .mul(direction);
            FloatVector x = FloatVector.fromMemorySegment(SPECIES, vectors, low + at, ORDER);
            FloatVector y = FloatVector.fromMemorySegment(SPECIES, vectors, high + at, ORDER);
            x.mul(cos).sub(y.mul(sin)).intoMemorySegment(vectors, low + at, ORDER);
            y.mul(cos).add(x.mul(sin)).intoMemorySegment(vectors, high + at, ORDER);
        }
        for (; i < pairs; i++) {
            long at = (long) i * Float.BYTES;
            float cos = cosines.get(JAVA_FLOAT, angles + at);
            float sin = sines.get(JAVA_FLOAT, angles + at) * direction;
            float x = vectors.get(JAVA_FLOAT, low + at);
            float y = vectors.get(JAVA_FLOAT, high + at);
            vectors.set(JAVA_FLOAT, low + at, x * cos - y * sin);
            vectors.set(JAVA_FLOAT, high + at, y * cos + x * sin);
        }
    }

    private synchronized Tables grow(int positions) {
        Tables old = tables;
        if (positions <= old.positions()) {
            return old;
        }
        int half = inverseFrequencies.length;
        int grown = Math.max(Math.max(positions, FIRST_POSITIONS), Math.multiplyExact(old.positions(), 2));
        // Freed with the last reader: the model may look at an older snapshot through its own tensors.
        Arena arena = Arena.ofAuto();
        long bytes = (long) grown * half * Float.BYTES;
        MemorySegment cos = arena.allocate(bytes, 64);
        MemorySegment sin = arena.allocate(bytes, 64);
        long known = (long) old.positions() * half * Float.BYTES;
        MemorySegment.copy(old.cos(), 0, cos, 0, known);
        MemorySegment.copy(old.sin(), 0, sin, 0, known);
        for (int position = old.positions(); position < grown; position++) {
            for (int i = 0; i < half; i++) {
                float angle = position * inverseFrequencies[i];
                cos.setAtIndex(JAVA_FLOAT, (long) position * half + i, (float) Math.cos(angle));
                sin.setAtIndex(JAVA_FLOAT, (long) position * half + i, (float) Math.sin(angle));
            }
        }
        tables = new Tables(grown, cos, sin);
        return tables;
    }
}
