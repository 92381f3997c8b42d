/** Attention over a cache whose old tokens are codes: the cache of one sequence, its options, its bytes. */
package io.sparrowkv.attention;
