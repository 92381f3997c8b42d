/** The block store that outlives its process: slots in memory-mapped Chronicle Maps, their manifest, owners and eviction. */
package io.sparrowkv.store.chronicle;
