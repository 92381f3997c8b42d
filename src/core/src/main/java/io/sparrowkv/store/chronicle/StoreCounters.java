package io.sparrowkv.store.chronicle;

/**
 * What this process has seen of a store since it opened it.
 *
 * @param hits blocks that were asked for and given
 * @param misses blocks that were asked for and not there
 * @param damaged parts of slots whose checksum was wrong: dropped, and counted as misses
 * @param written parts of slots written
 * @param evictedPrefixes prefixes evicted
 * @param evictedBytes bytes of the slots that their eviction freed
 * @param rejected parts of slots that found no room
 */
public record StoreCounters(
        long hits, long misses, long damaged, long written, long evictedPrefixes, long evictedBytes, long rejected) {}
