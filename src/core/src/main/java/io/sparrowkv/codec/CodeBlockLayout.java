package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import java.lang.foreign.MemorySegment;

/**
 * The bytes of a code block: the codes of {@value #TOKENS} consecutive tokens of one site, all its KV heads. Format version
 * {@value #VERSION}; all numbers little-endian.
 *
 * <pre>
 * offset                 type                                   content
 * 0                      uint16 [kvHeads, TOKENS, budget]       atom indices
 * indexBytes padded      IEEE 754 binary16, same shape          coefficients
 * </pre>
 *
 * <p>Row {@code head * TOKENS + token} is one vector's code: {@code budget} pairs, largest coefficient first, so that its first k
 * pairs are the code at budget k (for refined codes see {@link io.sparrowkv.encode.Refinement}); missing pairs are index 0, coefficient 0. Both parts begin at a multiple of
 * {@value #ALIGNMENT} bytes and are padded with zeros to one. They are the two data buffers, in this order, of the Arrow record
 * batch in {@code arrow-schemas/code-block.schema.json}, whose fields cannot be null and so need no validity buffer.
 *
 * <p>A coefficient is rounded to the nearest binary16. One that is too large for it ({@value #MAX_COEFFICIENT} and up to the
 * rounding) is refused: it means vectors far outside of what the dictionary was trained on.
 *
 * @param site a whole layer's keys or values
 * @param kvHeads KV heads of the site
 * @param dHead width of the vectors that were coded
 * @param budget pairs kept of each vector
 */
public record CodeBlockLayout(Site site, int kvHeads, int dHead, int budget) {
    /** Version of this format; a reader refuses any other. */
    public static final int VERSION = 1;

    /** The format and its version, as a fingerprint of it. */
    public static final String CODEC = "sparse/" + VERSION;

    /** Tokens of a block. */
    public static final int TOKENS = 64;

    /** Boundary in bytes of both parts, as the Arrow format recommends. */
    public static final int ALIGNMENT = 64;

    /** Most atoms that a 16-bit index can tell apart. */
    public static final int MAX_LATENTS = 1 << Short.SIZE;

    /** Largest finite binary16. */
    public static final float MAX_COEFFICIENT = 65504f;

    /** Bytes of one pair: its index and its coefficient. */
    public static final int PAIR_BYTES = 2 * Short.BYTES;

    private static final short INFINITY = 0x7C00;

    public CodeBlockLayout {
        if (site.head() != Site.ALL_HEADS || kvHeads < 1 || dHead < 1 || budget < 1 || budget > MAX_LATENTS) {
            throw new IllegalArgumentException(
                    "site %s, kvHeads %d, dHead %d, budget %d".formatted(site, kvHeads, dHead, budget));
        }
        Math.multiplyExact(Math.multiplyExact(kvHeads * TOKENS, budget), 2 * PAIR_BYTES);
    }

    /** Codes of a block. */
    public int rows() {
        return kvHeads * TOKENS;
    }

    /** Bytes of the indices, and also of the coefficients, without padding. */
    public long partBytes() {
        return (long) rows() * budget * Short.BYTES;
    }

    /** Where the coefficients begin. */
    public long coefficientOffset() {
        return (partBytes() + ALIGNMENT - 1) & -ALIGNMENT;
    }

    /** Bytes of a block. */
    public long byteSize() {
        return 2 * coefficientOffset();
    }

    /** Offset in bytes, within a part, of the code of {@code token} (0 to {@value #TOKENS} − 1) of {@code head}. */
    public long rowOffset(int head, int token) {
        return ((long) head * TOKENS + token) * budget * Short.BYTES;
    }

    /**
     * Writes codes of one KV head into a block.
     *
     * @param codes codes of at least this layout's budget; only the first pairs of each are taken
     * @param row row in {@code codes} of the first token
     * @param step rows from one token to the next: the KV heads of a batch {@code [tokens, kvHeads]}
     * @param head the KV head
     * @param token first token within the block
     * @param count tokens
     * @param body the block
     * @throws InvalidInputException when a coefficient is too large for binary16
     */
    public void pack(CodeBatch codes, int row, int step, int head, int token, int count, MemorySegment body) {
        if (codes.budget() < budget || token < 0 || count < 0 || token + count > TOKENS || head >= kvHeads) {
            throw new IllegalArgumentException("head %d, tokens %d + %d, codes of %d pairs into %s"
                    .formatted(head, token, count, codes.budget(), this));
        }
        for (int i = 0; i < count; i++) {
            long from = (row + (long) i * step) * codes.budget();
            long to = rowOffset(head, token + i);
            for (int pair = 0; pair < budget; pair++) {
                int index = codes.indices().getAtIndex(JAVA_INT, from + pair);
                float coefficient = codes.coefficients().getAtIndex(JAVA_FLOAT, from + pair);
                short half = Float.floatToFloat16(coefficient);
                if ((half & INFINITY) == INFINITY) {
                    throw new InvalidInputException(
                            "%s: coefficient %s exceeds %s, the largest of fp16; the dictionary does not fit the model"
                                    .formatted(site, coefficient, MAX_COEFFICIENT));
                }
                long offset = to + (long) pair * Short.BYTES;
                body.set(JAVA_SHORT, offset, (short) index);
                body.set(JAVA_SHORT, coefficientOffset() + offset, half);
            }
        }
    }

    /** The atom index of a pair in {@code body}. */
    public int index(MemorySegment body, int head, int token, int pair) {
        return Short.toUnsignedInt(body.get(JAVA_SHORT, rowOffset(head, token) + (long) pair * Short.BYTES));
    }

    /** The coefficient of a pair in {@code body}. */
    public float coefficient(MemorySegment body, int head, int token, int pair) {
        return Float.float16ToFloat(
                body.get(JAVA_SHORT, coefficientOffset() + rowOffset(head, token) + (long) pair * Short.BYTES));
    }
}
