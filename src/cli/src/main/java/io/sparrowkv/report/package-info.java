/** How results look: aligned text tables, quantities with units, JSON documents, progress. */
package io.sparrowkv.report;
