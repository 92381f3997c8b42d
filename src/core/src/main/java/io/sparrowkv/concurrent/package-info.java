/** A fixed team of worker threads for loops that allocate nothing. */
package io.sparrowkv.concurrent;
