package io.sparrowkv.llm.capture;

import io.sparrowkv.capture.Tap;
import io.sparrowkv.capture.VectorOrigin;
import io.sparrowkv.capture.VectorSink;
import io.sparrowkv.capture.VectorSource;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.llm.model.CausalLm;
import io.sparrowkv.llm.model.DenseKvCache;
import io.sparrowkv.llm.model.KvCache;
import io.sparrowkv.llm.model.Libtorch;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.Set;

/**
 * Keys and values of a model as it reads a text: the text's tokens are cut in contexts of one length, and each is a chunk that passes
 * through the model by itself. The last one may be shorter.
 */
public final class ModelVectorSource implements VectorSource {
    private final CausalLm lm;
    private final int[] tokens;
    private final VectorOrigin origin;

    /**
     * @param lm stays the caller's to close
     * @param tokens ids of the whole text
     * @param contextTokens tokens of a chunk
     * @throws InvalidInputException when there is no token, or the context is longer than the model's limit
     */
    public ModelVectorSource(CausalLm lm, int[] tokens, int contextTokens) {
        if (tokens.length == 0) {
            throw new InvalidInputException("the text has no tokens to capture; give a longer one");
        }
        if (contextTokens < 1 || contextTokens > lm.config().maxPositions()) {
            throw new InvalidInputException(
                    "a context of %d tokens is asked where the model's limit is %d; choose from 1 to %d"
                            .formatted(
                                    contextTokens,
                                    lm.config().maxPositions(),
                                    lm.config().maxPositions()));
        }
        this.lm = lm;
        this.tokens = tokens.clone();
        this.origin = new VectorOrigin(
                lm.folder().toAbsolutePath().normalize().getFileName().toString(),
                lm.fingerprint(),
                fingerprint(tokens, contextTokens),
                lm.config().layers(),
                lm.config().kvHeads(),
                lm.config().dHead(),
                contextTokens);
    }

    /** Identity of a text that is read in contexts of some length: SHA-256 of both. */
    public static String fingerprint(int[] tokens, int contextTokens) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            ByteBuffer bytes = ByteBuffer.allocate((tokens.length + 1) * Integer.BYTES);
            bytes.putInt(contextTokens).asIntBuffer().put(tokens);
            return HexFormat.of().formatHex(digest.digest(bytes.array()), 0, 16);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JVM has SHA-256", e);
        }
    }

    @Override
    public VectorOrigin origin() {
        return origin;
    }

    @Override
    public Set<Tap> taps() {
        return EnumSet.allOf(Tap.class);
    }

    @Override
    public long chunks() {
        return (tokens.length + origin.chunkTokens() - 1) / origin.chunkTokens();
    }

    /** Number of tokens in all chunks. */
    public int tokens() {
        return tokens.length;
    }

    /** Token ids of a chunk. */
    public int[] tokens(long chunk) {
        int from = Math.toIntExact(chunk * origin.chunkTokens());
        return Arrays.copyOfRange(tokens, from, Math.min(tokens.length, from + origin.chunkTokens()));
    }

    @Override
    public void read(long chunk, VectorSink sink) {
        if (chunk < 0 || chunk >= chunks()) {
            throw new IndexOutOfBoundsException("chunk " + chunk + " of " + chunks());
        }
        int lastWanted = lastWanted(sink);
        if (lastWanted < 0) {
            return;
        }
        int[] context = tokens(chunk);
        try (KvCache cache = new DenseKvCache(lm.config().attentionShape(), context.length)) {
            lm.observe(context, cache, lastWanted, (layer, tap, firstPosition, vectors) -> {
                if (sink.wants(layer, tap)) {
                    sink.accept(layer, tap, firstPosition, context.length, Libtorch.memory(vectors));
                }
            });
        }
    }

    private int lastWanted(VectorSink sink) {
        for (int layer = origin.layers() - 1; layer >= 0; layer--) {
            for (Tap tap : Tap.values()) {
                if (sink.wants(layer, tap)) {
                    return layer;
                }
            }
        }
        return -1;
    }

    /** Nothing to close: the model is the caller's. */
    @Override
    public void close() {}
}
