package io.sparrowkv.codec;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.Coefficients;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import java.lang.foreign.MemorySegment;

/**
 * The bytes of a code block: the codes of {@value #TOKENS} consecutive tokens of one site, all its KV heads. Format version
 * {@value #VERSION}; all numbers little-endian. Row {@code head * TOKENS + token} is one vector's code: {@code budget} pairs, largest
 * coefficient first, so that its first k pairs are the code at budget k (for refined codes see
 * {@link io.sparrowkv.encode.Refinement}); missing pairs are index 0, coefficient 0.
 *
 * <p>Plain pairs ({@link PairFormat#PLAIN}), 4 bytes each:
 *
 * <pre>
 * offset                 type                                   content
 * 0                      uint16 [kvHeads, TOKENS, budget]       atom indices
 * indexBytes padded      IEEE 754 binary16, same shape          coefficients
 * </pre>
 *
 * <p>Both parts begin at a multiple of {@value #ALIGNMENT} bytes and are padded with zeros to one. They are the two data buffers, in
 * this order, of the Arrow record batch in {@code arrow-schemas/code-block.schema.json}, whose fields cannot be null and so need no
 * validity buffer.
 *
 * <p>Packed pairs, of n index bits and c coefficient bits; a row of the block:
 *
 * <pre>
 * offset                       type                        content
 * 0                            bits [budget], the first    pairs: the index in the n lower bits, the level of the coefficient
 *                              lowest, n + c each          in the c higher ones
 * ⌈budget · (n + c) / 8⌉       IEEE 754 binary16           scale
 * then                         as {@link RotatedCodec}     residual, if it is kept: the vector less what all its pairs stand for
 * </pre>
 *
 * <p>Rows follow each other without gaps, {@link #rowBytes} apart, and the block is padded with zeros to a multiple of
 * {@value #ALIGNMENT}. What a level stands for is in {@link Coefficients}; that of a missing pair stands for 0. They are the data buffer of the Arrow record
 * batch in {@code arrow-schemas/packed-code-block.schema.json}.
 *
 * <p>A binary16 is the nearest one. A coefficient that is too large for it ({@link Coefficients#LARGEST} and up to the rounding) is
 * refused: it means vectors far outside of what the dictionary was trained on.
 *
 * @param site a whole layer's keys or values
 * @param kvHeads KV heads of the site
 * @param dHead width of the vectors that were coded
 * @param budget pairs kept of each vector
 * @param pairs what a pair takes
 */
public record CodeBlockLayout(Site site, int kvHeads, int dHead, int budget, PairFormat pairs) {
    /** Version of this format; a reader refuses any other. */
    public static final int VERSION = 1;

    /** The format and its version, as a fingerprint of it; {@link BlockCodec} adds how codes are made. */
    public static final String CODEC = "sparse/" + VERSION;

    /** Tokens of a block. */
    public static final int TOKENS = 64;

    /** Boundary in bytes of blocks and their parts, as the Arrow format recommends. */
    public static final int ALIGNMENT = 64;

    /** Most atoms that an index can tell apart. */
    public static final int MAX_LATENTS = 1 << Short.SIZE;

    private static final short INFINITY = 0x7C00;

    public CodeBlockLayout {
        if (pairs.residualBits() > 0 && dHead % Byte.SIZE != 0) {
            throw new InvalidInputException("residuals pack eight numbers at a time; d_head is " + dHead);
        }
        if (site.head() != Site.ALL_HEADS || kvHeads < 1 || dHead < 1 || budget < 1 || budget > pairs.mostLatents()) {
            throw new IllegalArgumentException(
                    "site %s, kvHeads %d, dHead %d, budget %d, %s".formatted(site, kvHeads, dHead, budget, pairs));
        }
        Math.multiplyExact(Math.multiplyExact(kvHeads * TOKENS, budget), 2 * Integer.BYTES);
    }

    /** A block of plain pairs. */
    public CodeBlockLayout(Site site, int kvHeads, int dHead, int budget) {
        this(site, kvHeads, dHead, budget, PairFormat.PLAIN);
    }

    /** Codes of a block. */
    public int rows() {
        return kvHeads * TOKENS;
    }

    /** Bytes of the indices, without padding. */
    public long indexBytes() {
        return (long) rows() * budget * pairs.indexBits() / Byte.SIZE;
    }

    /** Bytes of the scales, those of residuals too. */
    public long scaleBytes() {
        int scales = (pairs.packed() ? 1 : 0) + (keepsResidual() ? 1 : 0);
        return (long) rows() * scales * Short.BYTES;
    }

    /** Bytes of the levels of residuals, without scales. */
    public long residualBytes() {
        return (long) rows() * dHead * pairs.residualBits() / Byte.SIZE;
    }

    /** Whether what the pairs leave of a vector is kept. */
    public boolean keepsResidual() {
        return pairs.residualBits() > 0;
    }

    /** How residuals are kept, at {@link #residualOffset} of each row. */
    public RotatedCodec residualCodec() {
        return new RotatedCodec(dHead, pairs.residualBits());
    }

    /** Offset in bytes of a residual from the beginning of its row. */
    public int residualOffset() {
        return packedPairBytes() + Short.BYTES;
    }

    /** Bytes of plain indices, and also of plain coefficients, without padding. */
    public long partBytes() {
        return (long) rows() * budget * Short.BYTES;
    }

    /** Where plain coefficients begin. */
    public long coefficientOffset() {
        return aligned(partBytes());
    }

    /** Bytes of a packed row. */
    public int rowBytes() {
        return residualOffset() + (keepsResidual() ? Short.BYTES + dHead * pairs.residualBits() / Byte.SIZE : 0);
    }

    /** Bytes of a block. */
    public long byteSize() {
        return pairs.packed() ? aligned((long) rows() * rowBytes()) : 2 * coefficientOffset();
    }

    /** Offset in bytes, in a packed block or within a part of a plain one, of the code of {@code token} (0 to {@value #TOKENS} − 1) of {@code head}. */
    public long rowOffset(int head, int token) {
        long row = (long) head * TOKENS + token;
        return row * (pairs.packed() ? rowBytes() : budget * Short.BYTES);
    }

    /** Offset in bytes of a packed row's scale from its beginning. */
    public int packedPairBytes() {
        return (budget * pairs.bits() + Byte.SIZE - 1) / Byte.SIZE;
    }

    private static long aligned(long bytes) {
        return (bytes + ALIGNMENT - 1) & -ALIGNMENT;
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
        Row values = new Row(budget);
        for (int i = 0; i < count; i++) {
            long from = (row + (long) i * step) * codes.budget() * Integer.BYTES;
            MemorySegment.copy(codes.indices(), JAVA_INT, from, values.indices, 0, budget);
            MemorySegment.copy(codes.coefficients(), JAVA_FLOAT, from, values.coefficients, 0, budget);
            for (float coefficient : values.coefficients) {
                requireFinite(coefficient);
            }
            write(values, body, rowOffset(head, token + i));
        }
    }

    /** The layout of the same codes as plain pairs. */
    public CodeBlockLayout plain() {
        return new CodeBlockLayout(site, kvHeads, dHead, budget);
    }

    /** Writes the codes of a block, without residuals, as a block of {@link #plain} layout, their coefficients rounded to binary16. */
    public void toPlain(MemorySegment body, MemorySegment plainBody) {
        CodeBlockLayout plain = plain();
        Row values = new Row(budget);
        for (int head = 0; head < kvHeads; head++) {
            for (int token = 0; token < TOKENS; token++) {
                read(values, body, head, token);
                plain.write(values, plainBody, plain.rowOffset(head, token));
            }
        }
    }

    /** Writes the codes of a block of {@link #plain} layout as a block of this one: what {@link #toPlain} was given, but for its rounding and residuals. */
    public void fromPlain(MemorySegment plainBody, MemorySegment body) {
        CodeBlockLayout plain = plain();
        Row values = new Row(budget);
        for (int head = 0; head < kvHeads; head++) {
            for (int token = 0; token < TOKENS; token++) {
                plain.read(values, plainBody, head, token);
                write(values, body, rowOffset(head, token));
            }
        }
    }

    /** One code, widened. */
    private static final class Row {
        final int[] indices;
        final float[] coefficients;
        final int[] levels;

        Row(int budget) {
            indices = new int[budget];
            coefficients = new float[budget];
            levels = new int[budget];
        }
    }

    private void read(Row values, MemorySegment body, int head, int token) {
        for (int pair = 0; pair < budget; pair++) {
            values.indices[pair] = index(body, head, token, pair);
            values.coefficients[pair] = coefficient(body, head, token, pair);
        }
    }

    private void write(Row values, MemorySegment body, long to) {
        if (pairs.packed()) {
            writePacked(values, body, to);
            return;
        }
        for (int pair = 0; pair < budget; pair++) {
            long offset = to + (long) pair * Short.BYTES;
            body.set(JAVA_SHORT, offset, (short) values.indices[pair]);
            body.set(JAVA_SHORT, coefficientOffset() + offset, Float.floatToFloat16(values.coefficients[pair]));
        }
    }

    private void writePacked(Row values, MemorySegment body, long to) {
        short scale = pairs.coefficients().quantize(values.coefficients, budget, values.levels);
        long bits = 0;
        int held = 0;
        long at = to;
        for (int pair = 0; pair < budget; pair++) {
            bits |= (long) (values.levels[pair] << pairs.indexBits() | values.indices[pair]) << held;
            for (held += pairs.bits(); held >= Byte.SIZE; held -= Byte.SIZE) {
                body.set(JAVA_BYTE, at++, (byte) bits);
                bits >>>= Byte.SIZE;
            }
        }
        if (held > 0) {
            body.set(JAVA_BYTE, at++, (byte) bits);
        }
        body.set(JAVA_SHORT_UNALIGNED, at, scale);
    }

    private void requireFinite(float coefficient) {
        if ((Float.floatToFloat16(coefficient) & INFINITY) == INFINITY) {
            throw new InvalidInputException(
                    "%s: coefficient %s exceeds %s, the largest of fp16; the dictionary does not fit the model"
                            .formatted(site, coefficient, Coefficients.LARGEST));
        }
    }

    /** The atom index of a pair in {@code body}. */
    public int index(MemorySegment body, int head, int token, int pair) {
        long row = rowOffset(head, token);
        return pairs.packed()
                ? packedPair(body, row, pair) & pairs.mostLatents() - 1
                : Short.toUnsignedInt(body.get(JAVA_SHORT, row + (long) pair * Short.BYTES));
    }

    /** The coefficient of a pair in {@code body}. */
    public float coefficient(MemorySegment body, int head, int token, int pair) {
        long row = rowOffset(head, token);
        if (!pairs.packed()) {
            return Float.float16ToFloat(body.get(JAVA_SHORT, coefficientOffset() + row + (long) pair * Short.BYTES));
        }
        short scale = body.get(JAVA_SHORT_UNALIGNED, row + packedPairBytes());
        Coefficients form = pairs.coefficients();
        return Coefficients.value(
                packedPair(body, row, pair) >>> pairs.indexBits(), form.step(scale), form.zero(scale));
    }

    /** The bits of a pair of a packed row. Four bytes always hold them, and never reach past the scale that follows the row's pairs. */
    private int packedPair(MemorySegment body, long row, int pair) {
        int bit = pair * pairs.bits();
        int word = body.get(JAVA_INT_UNALIGNED, row + (bit >>> 3)) >>> (bit & Byte.SIZE - 1);
        return word & (1 << pairs.bits()) - 1;
    }
}
