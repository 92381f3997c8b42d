/** Top-K sparse autoencoders: sites, dictionaries, dictionary sets and their files. */
package io.sparrowkv.sae;
