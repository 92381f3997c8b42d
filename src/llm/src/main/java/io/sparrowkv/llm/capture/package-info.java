/** Keys and values captured live from a model. */
package io.sparrowkv.llm.capture;
