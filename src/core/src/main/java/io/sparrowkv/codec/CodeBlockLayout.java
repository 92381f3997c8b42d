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
import io.sparrowkv.sae.Heads;
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
 * <p>Counted pairs ({@link PairFormat#counted}) are packed ones of codes that differ in length, as those of a pursuit with an error
 * bound do. A row has as many pairs as its code, without those whose coefficient is kept as 0; the budget is the most it may have.
 *
 * <pre>
 * offset                   type                         content
 * 0                        int32 [kvHeads + 1]          where each head begins, and where the last ends, from the data on
 * padded to 8: the data    head by head:
 * 0                        bits [TOKENS], the first     counts of the rows' pairs, of the bits that hold the budget
 *                          lowest
 * 8 · bits of a count      rows                         as packed rows, ⌈count · (n + c) / 8⌉ in place of ⌈budget · (n + c) / 8⌉
 * </pre>
 *
 * <p>Heads follow each other without gaps, and the block ends at a multiple of 8 bytes; {@link #byteSize()} is the most that it can
 * take, {@link #byteSize(MemorySegment)} what it takes. A block that is being filled has gaps behind its heads until {@link #close}.
 * Offsets and data are the two buffers of the Arrow record batch in {@code arrow-schemas/counted-code-block.schema.json}.
 *
 * <p>A binary16 is the nearest one. A coefficient that is too large for it ({@link Coefficients#LARGEST} and up to the rounding) is
 * refused: it means vectors far outside of what the dictionary was trained on.
 *
 * @param site a whole layer's keys or values
 * @param kvHeads codes of a token: the KV heads of the site, or 1 where they are coded together
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
        boolean whole = site.heads() == Heads.SHARED || site.heads() == Heads.JOINT && kvHeads == 1;
        if (!whole || kvHeads < 1 || dHead < 1 || budget < 1 || budget > pairs.mostLatents()) {
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

    /** Bytes of the indices, without padding; where pairs are counted the most that they can take, counts and offsets with them. */
    public long indexBytes() {
        return indexBytes((long) rows() * budget);
    }

    /** Bytes of the indices of a block, without padding; counts and offsets with them. */
    public long indexBytes(MemorySegment body) {
        return pairs.counted() ? indexBytes(pairs(body)) : indexBytes();
    }

    private long indexBytes(long count) {
        return count * pairs.indexBits() / Byte.SIZE
                + (pairs.counted() ? counted().indexBytes() : 0);
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

    /** How residuals are kept, at {@link #residualOffset(int)} of each row. */
    public RotatedCodec residualCodec() {
        return new RotatedCodec(dHead, pairs.residualBits());
    }

    /** Offset in bytes of a residual from the beginning of its row of {@code count} pairs. */
    public int residualOffset(int count) {
        return scaleOffset(count) + Short.BYTES;
    }

    /** Bytes of plain indices, and also of plain coefficients, without padding. */
    public long partBytes() {
        return (long) rows() * budget * Short.BYTES;
    }

    /** Where plain coefficients begin. */
    public long coefficientOffset() {
        return aligned(partBytes());
    }

    /** Bytes of a packed row of {@code budget} pairs. */
    public int rowBytes() {
        return rowBytes(budget);
    }

    /** Bytes of a packed row of {@code count} pairs. */
    public int rowBytes(int count) {
        return residualOffset(count) + (keepsResidual() ? Short.BYTES + dHead * pairs.residualBits() / Byte.SIZE : 0);
    }

    /** Bytes of a block; where pairs are counted the most that one can take. */
    public long byteSize() {
        if (pairs.counted()) {
            return counted().mostBytes();
        }
        return pairs.packed() ? aligned((long) rows() * rowBytes()) : 2 * coefficientOffset();
    }

    /** Bytes that a block takes, which are fewer than {@link #byteSize()} where pairs are counted and it is closed. */
    public long byteSize(MemorySegment body) {
        return pairs.counted() ? counted().byteSize(body) : byteSize();
    }

    /** Pairs of the code of {@code token} of {@code head}: the budget, or where they are counted those that are there. */
    public int pairs(MemorySegment body, int head, int token) {
        return pairs.counted() ? counted().count(body, head, token) : budget;
    }

    /** Pairs of all codes of a block. */
    public long pairs(MemorySegment body) {
        long sum = 0;
        for (int head = 0; head < kvHeads; head++) {
            for (int token = 0; token < TOKENS; token++) {
                sum += pairs(body, head, token);
            }
        }
        return sum;
    }

    /**
     * Offset in bytes, in a packed block or within a part of a plain one, of the code of {@code token} (0 to {@value #TOKENS} − 1) of
     * {@code head}. Of counted rows those before it are looked at; the next row begins {@link #rowBytes(int)} behind.
     */
    public long rowOffset(MemorySegment body, int head, int token) {
        if (!pairs.counted()) {
            long row = (long) head * TOKENS + token;
            return row * (pairs.packed() ? rowBytes() : budget * Short.BYTES);
        }
        CountedRows rows = counted();
        long offset = rows.firstRow(body, head);
        for (int before = 0; before < token; before++) {
            offset += rowBytes(rows.count(body, head, before));
        }
        return offset;
    }

    /** Offset in bytes of a packed row's scale from its beginning, behind {@code count} pairs. */
    public int scaleOffset(int count) {
        return (count * pairs.bits() + Byte.SIZE - 1) / Byte.SIZE;
    }

    /** Where the rows of a counted block are. */
    CountedRows counted() {
        int countBits = CountedRows.bits(budget);
        return new CountedRows(kvHeads, countBits, TOKENS * rowBytes() + TOKENS * countBits / Byte.SIZE);
    }

    /** Ends the filling of a block: closes the gaps behind the heads of a counted one, and leaves zeros behind the last. */
    public void close(MemorySegment body) {
        if (pairs.counted()) {
            long[] ends = new long[kvHeads];
            for (int head = 0; head < kvHeads; head++) {
                ends[head] = rowOffset(body, head, TOKENS);
            }
            counted().close(body, ends);
        }
    }

    private static long aligned(long bytes) {
        return (bytes + ALIGNMENT - 1) & -ALIGNMENT;
    }

    /**
     * Writes codes of one KV head into a block. Counted rows are written in the order of their tokens, and then {@link #close closed}.
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
        if (pairs.counted() && token == 0) {
            counted().open(body, head);
        }
        long to = rowOffset(body, head, token);
        for (int i = 0; i < count; i++) {
            long from = (row + (long) i * step) * codes.budget() * Integer.BYTES;
            MemorySegment.copy(codes.indices(), JAVA_INT, from, values.indices, 0, budget);
            MemorySegment.copy(codes.coefficients(), JAVA_FLOAT, from, values.coefficients, 0, budget);
            for (float coefficient : values.coefficients) {
                requireFinite(coefficient);
            }
            to += write(values, body, head, token + i, to);
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
                plain.write(values, plainBody, head, token, plain.rowOffset(plainBody, head, token));
            }
        }
    }

    /** Writes the codes of a block of {@link #plain} layout as a block of this one: what {@link #toPlain} was given, but for its rounding and residuals. */
    public void fromPlain(MemorySegment plainBody, MemorySegment body) {
        CodeBlockLayout plain = plain();
        Row values = new Row(budget);
        for (int head = 0; head < kvHeads; head++) {
            if (pairs.counted()) {
                counted().open(body, head);
            }
            long to = rowOffset(body, head, 0);
            for (int token = 0; token < TOKENS; token++) {
                plain.read(values, plainBody, head, token);
                to += write(values, body, head, token, to);
            }
        }
        close(body);
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

        /** Moves the pairs of other levels together; returns how many they are. */
        int dropLevels(int level) {
            int kept = 0;
            for (int pair = 0; pair < levels.length; pair++) {
                indices[kept] = indices[pair];
                levels[kept] = levels[pair];
                kept += levels[pair] == level ? 0 : 1;
            }
            return kept;
        }
    }

    private void read(Row values, MemorySegment body, int head, int token) {
        for (int pair = 0; pair < budget; pair++) {
            values.indices[pair] = index(body, head, token, pair);
            values.coefficients[pair] = coefficient(body, head, token, pair);
        }
    }

    /** Writes a row and returns its bytes, of a plain one in each part. */
    private int write(Row values, MemorySegment body, int head, int token, long to) {
        if (pairs.packed()) {
            short scale = pairs.coefficients().quantize(values.coefficients, budget, values.levels);
            int count = budget;
            if (pairs.counted()) {
                count = values.dropLevels(pairs.coefficients().zero(scale));
                counted().setCount(body, head, token, count);
            }
            writePacked(values, count, scale, body, to);
            return rowBytes(count);
        }
        for (int pair = 0; pair < budget; pair++) {
            long offset = to + (long) pair * Short.BYTES;
            body.set(JAVA_SHORT, offset, (short) values.indices[pair]);
            body.set(JAVA_SHORT, coefficientOffset() + offset, Float.floatToFloat16(values.coefficients[pair]));
        }
        return budget * Short.BYTES;
    }

    private void writePacked(Row values, int count, short scale, MemorySegment body, long to) {
        long bits = 0;
        int held = 0;
        long at = to;
        for (int pair = 0; pair < count; pair++) {
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

    /** The atom index of a pair in {@code body}; 0 where a counted row has none. */
    public int index(MemorySegment body, int head, int token, int pair) {
        long row = rowOffset(body, head, token);
        if (pair >= pairs(body, head, token)) {
            return 0;
        }
        return pairs.packed()
                ? packedPair(body, row, pair) & pairs.mostLatents() - 1
                : Short.toUnsignedInt(body.get(JAVA_SHORT, row + (long) pair * Short.BYTES));
    }

    /** The coefficient of a pair in {@code body}; 0 where a counted row has none. */
    public float coefficient(MemorySegment body, int head, int token, int pair) {
        long row = rowOffset(body, head, token);
        int count = pairs(body, head, token);
        if (pair >= count) {
            return 0;
        }
        if (!pairs.packed()) {
            return Float.float16ToFloat(body.get(JAVA_SHORT, coefficientOffset() + row + (long) pair * Short.BYTES));
        }
        short scale = body.get(JAVA_SHORT_UNALIGNED, row + scaleOffset(count));
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
