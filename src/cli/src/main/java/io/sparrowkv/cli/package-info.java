/** The commands of {@code sparrow}: options in, calls of the libraries, reports out. */
package io.sparrowkv.cli;
