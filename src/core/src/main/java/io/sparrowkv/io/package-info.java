/** Files read and written whole, and the exception for input that cannot be used. */
package io.sparrowkv.io;
