/** Weights and dictionaries as safetensors files: read memory-mapped, written whole. */
package io.sparrowkv.safetensors;
