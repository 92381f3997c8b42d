/** Text generation over any key/value cache. */
package io.sparrowkv.llm.generate;
