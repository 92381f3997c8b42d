package io.sparrowkv.cli;

import io.sparrowkv.attention.AttentionShape;
import io.sparrowkv.attention.Budgets;
import io.sparrowkv.attention.CacheOptions;
import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.codec.VectorCodec;
import io.sparrowkv.llm.model.MemoryNeed;
import io.sparrowkv.sae.DictionarySet;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.util.Map;

/** What a cache of codes or quantized vectors will take at some length, told before it is filled. */
final class CacheMemory {
    private CacheMemory() {}

    /**
     * Refuses a cache that will not fit.
     *
     * @param dictionaries of all the model's sites
     * @param tokens length that its sequence grows to
     * @throws io.sparrowkv.io.InvalidInputException when less memory is available
     */
    static void require(AttentionShape shape, CacheOptions options, DictionarySet dictionaries, int tokens) {
        MemoryNeed.require(
                "a sparse cache of " + tokens + " tokens",
                bytesNeeded(shape, options, dictionaries, tokens),
                "use a shorter context or smaller budgets");
    }

    /**
     * Refuses a cache of quantized tokens that will not fit.
     *
     * @param codecs of all sites
     * @param tokens length that its sequence grows to
     * @throws io.sparrowkv.io.InvalidInputException when less memory is available
     */
    static void require(AttentionShape shape, CacheOptions options, Map<Site, VectorCodec> codecs, int tokens) {
        long token = codecs.values().stream()
                .mapToLong(codec -> (long) shape.kvHeads() * codec.vectorBytes())
                .sum();
        MemoryNeed.require(
                "a quantized cache of " + tokens + " tokens",
                token * tokens + denseBytes(shape, options, tokens),
                "use a shorter context or another codec");
    }

    /** Bytes of the codes, window and sinks of a sequence. */
    static long bytesNeeded(AttentionShape shape, CacheOptions options, DictionarySet dictionaries, int tokens) {
        long blocks = tokens / CodeBlockLayout.TOKENS;
        long codes = 0;
        for (int layer = 0; layer < shape.layers(); layer++) {
            for (VectorKind kind : VectorKind.values()) {
                codes += options.stored().of(layer, kind) == Budgets.DENSE
                        ? (long) tokens * shape.kvHeads() * shape.dHead() * Short.BYTES
                        : blocks
                                * options.layout(shape, dictionaries, layer, kind)
                                        .byteSize();
            }
        }
        return codes + denseBytes(shape, options, tokens);
    }

    /** Bytes of window and sinks. */
    private static long denseBytes(AttentionShape shape, CacheOptions options, int tokens) {
        long denseTokens = Math.min(tokens, (long) options.window() + options.sinks() + CodeBlockLayout.TOKENS);
        // Dense tokens are kept as fp32, twice the bytes of fp16.
        return 2 * denseTokens * shape.denseFp16BytesPerToken();
    }
}
