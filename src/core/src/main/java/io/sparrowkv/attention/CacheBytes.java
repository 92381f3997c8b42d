package io.sparrowkv.attention;

/**
 * The bytes that a sparse cache holds, by part, counted from what is allocated.
 *
 * @param tokens tokens of the sequence
 * @param codedVectors keys that the codes stand for, over all layers and KV heads, and as many values
 * @param keyIndices 16-bit atom indices of the keys' codes
 * @param keyCoefficients fp16 coefficients of the keys' codes; of quantized keys all bytes
 * @param valueIndices 16-bit atom indices of the values' codes
 * @param valueCoefficients fp16 coefficients of the values' codes; of quantized values all bytes
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
        long valueIndices,
        long valueCoefficients,
        long window,
        long sinks,
        long dictionaries,
        long denseFp16) {
    /** No bytes. */
    public static final CacheBytes NONE = new CacheBytes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

    /** Bytes of all codes. */
    public long codes() {
        return keyIndices + keyCoefficients + valueIndices + valueCoefficients;
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
                valueIndices + other.valueIndices,
                valueCoefficients + other.valueCoefficients,
                window + other.window,
                sinks + other.sinks,
                Math.max(dictionaries, other.dictionaries),
                denseFp16 + other.denseFp16);
    }

    /** Bytes a token of {@code part}, any of this record's counts. */
    public double perToken(long part) {
        return tokens == 0 ? 0 : (double) part / tokens;
    }

    /** Coded bytes of the key and the value of one token, layer and KV head; 0 before any is coded. */
    public double perVector() {
        return codedVectors == 0 ? 0 : (double) codes() / codedVectors;
    }

    /** How many times smaller than the dense fp16 cache; below 1 while the window outweighs the codes. */
    public double ratio() {
        return total() == 0 ? 1 : (double) denseFp16 / total();
    }
}
