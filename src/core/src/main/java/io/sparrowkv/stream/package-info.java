/** Vectors on their way to codes: encoding in the background behind a bounded queue. */
package io.sparrowkv.stream;
