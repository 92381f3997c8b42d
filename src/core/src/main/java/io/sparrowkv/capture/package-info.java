/** Keys and values as they leave a model: where they are taken, how they stream, and the trace file they are kept in. */
package io.sparrowkv.capture;
