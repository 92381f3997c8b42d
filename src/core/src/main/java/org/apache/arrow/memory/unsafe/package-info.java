/** The one class that Arrow looks for by name. */
package org.apache.arrow.memory.unsafe;
