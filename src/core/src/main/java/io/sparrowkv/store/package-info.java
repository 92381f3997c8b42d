/** Where code blocks are kept, and how they are read without a copy. */
package io.sparrowkv.store;
