package io.sparrowkv.attention;

/**
 * The bytes that a sparse cache holds, by part, counted from what is allocated.
 *
 * @param tokens tokens of the sequence
 * @param keyIndices 16-bit atom indices of the keys' codes
 * @param keyCoefficients fp16 coefficients of the keys' codes
 * @param valueIndices 16-bit atom indices of the values' codes
 * @param valueCoefficients fp16 coefficients of the values' codes
 * @param window fp32 keys and values of the newest tokens
 * @param sinks fp32 keys and values of the first tokens
 * @param dictionaries weights of the dictionaries, which all sequences share
 * @param denseFp16 what the same tokens take in a dense fp16 cache
 */
public record CacheBytes(
        int tokens,
        long keyIndices,
        long keyCoefficients,
        long valueIndices,
        long valueCoefficients,
        long window,
        long sinks,
        long dictionaries,
        long denseFp16) {

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

    /** How many times smaller than the dense fp16 cache; below 1 while the window outweighs the codes. */
    public double ratio() {
        return total() == 0 ? 1 : (double) denseFp16 / total();
    }
}
