/** What a model's predictions lose by deviations of its keys and values, measured by gradients. */
package io.sparrowkv.llm.gradient;
