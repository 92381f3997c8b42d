package io.sparrowkv.eval;

import io.sparrowkv.llm.model.SparseKvCache;
import java.util.function.Supplier;

/**
 * A way of keeping keys and values that is compared with the dense cache.
 *
 * @param name as reports show it
 * @param open gives an empty cache; whoever asks closes it
 */
public record CacheUnderTest(String name, Supplier<SparseKvCache> open) {}
