package io.sparrowkv.attention;

/**
 * The bytes that a sparse cache holds, by part, counted from what is allocated.
 *
 * @param tokens tokens of the sequence
 * @param codedVectors keys that the codes stand for, over all layers and KV heads, and as many values
 * @param keyIndices atom indices of the keys' codes, with the counts of their pairs where they are counted
 * @param keyCoefficients coefficients of the keys' codes, without scales; of quantized keys their levels
 * @param keyResiduals levels of what the keys' pairs leave, without scales
 * @param keyScales scales of all these levels
 * @param valueIndices atom indices of the values' codes, with the counts of their pairs where they are counted
 * @param valueCoefficients coefficients of the values' codes, without scales; of quantized values their levels
 * @param valueResiduals levels of what the values' pairs leave, without scales
 * @param valueScales scales of all these levels
 * @param window fp32 keys and values of the newest tokens
 * @param sinks fp32 keys and values of the first tokens
 * @param dictionaries weights of the dictionaries, which all sequences share
 * @param denseFp16 what the same tokens take in a dense fp16 cache
 */
public record CacheBytes(
        int tokens,
        long codedVectors,
        long keyIndices,
        long keyCoefficients,
        long keyResiduals,
        long keyScales,
        long valueIndices,
        long valueCoefficients,
        long valueResiduals,
        long valueScales,
        long window,
        long sinks,
        long dictionaries,
        long denseFp16) {
    /** No bytes. */
    public static final CacheBytes NONE = new CacheBytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

    /** The bytes of the codes of some sites. */
    record Codes(long indices, long coefficients, long residuals, long scales) {
        static final Codes NONE = new Codes(0, 0, 0, 0);

        /** The bytes of several that are alike. */
        Codes times(long count) {
            return new Codes(count * indices, count * coefficients, count * residuals, count * scales);
        }

        Codes plus(Codes other) {
            return new Codes(
                    indices + other.indices,
                    coefficients + other.coefficients,
                    residuals + other.residuals,
                    scales + other.scales);
        }
    }

    /** Bytes of all codes. */
    public long codes() {
        return indices() + coefficients() + residuals() + scales();
    }

    /** Bytes of all atom indices. */
    public long indices() {
        return keyIndices + valueIndices;
    }

    /** Bytes of all coefficients and levels, without scales. */
    public long coefficients() {
        return keyCoefficients + valueCoefficients;
    }

    /** Bytes of the levels of all residuals. */
    public long residuals() {
        return keyResiduals + valueResiduals;
    }

    /** Bytes of all scales. */
    public long scales() {
        return keyScales + valueScales;
    }

    /** Bytes of this sequence: codes, window and sinks, without the dictionaries. */
    public long total() {
        return codes() + window + sinks;
    }

    /** These bytes and those of another sequence over the same dictionaries, which are counted once. */
    public CacheBytes plus(CacheBytes other) {
        return new CacheBytes(
                tokens + other.tokens,
                codedVectors + other.codedVectors,
                keyIndices + other.keyIndices,
                keyCoefficients + other.keyCoefficients,
                keyResiduals + other.keyResiduals,
                keyScales + other.keyScales,
                valueIndices + other.valueIndices,
                valueCoefficients + other.valueCoefficients,
                valueResiduals + other.valueResiduals,
                valueScales + other.valueScales,
                window + other.window,
                sinks + other.sinks,
                Math.max(dictionaries, other.dictionaries),
                denseFp16 + other.denseFp16);
    }

    /** Bytes a token of {@code part}, any of this record's counts. */
    public double perToken(long part) {
        return tokens == 0 ? 0 : (double) part / tokens;
    }

    /** Bytes of {@code part}, any of this record's counts of codes, for the key and the value of one token, layer and KV head; 0 before any is coded. */
    public double perVector(long part) {
        return codedVectors == 0 ? 0 : (double) part / codedVectors;
    }

    /** Coded bytes of the key and the value of one token, layer and KV head; 0 before any is coded. */
    public double perVector() {
        return perVector(codes());
    }

    /** How many times smaller than the dense fp16 cache; below 1 while the window outweighs the codes. */
    public double ratio() {
        return total() == 0 ? 1 : (double) denseFp16 / total();
    }
}
