/** Decoder models from Hugging Face folders, run by libtorch, and the key/value caches they can be run with. */
package io.sparrowkv.llm.model;
