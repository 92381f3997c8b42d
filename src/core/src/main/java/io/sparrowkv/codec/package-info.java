/** How a block of codes becomes bytes. */
package io.sparrowkv.codec;
