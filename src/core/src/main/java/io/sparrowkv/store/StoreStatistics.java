package io.sparrowkv.store;

/**
 * What a store holds.
 *
 * @param blocks blocks it can give
 * @param bytes memory it has allocated, including dropped blocks that are still leased
 * @param limit most bytes it may allocate
 */
public record StoreStatistics(long blocks, long bytes, long limit) {}
