/** Trains Top-K sparse autoencoders over streams of captured vectors, and reports how well they code. */
package io.sparrowkv.train;
