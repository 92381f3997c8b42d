/** Vectors to codes: the encoder contract, its implementations and their choice. */
package io.sparrowkv.encode;
