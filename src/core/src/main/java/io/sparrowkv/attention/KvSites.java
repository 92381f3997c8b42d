package io.sparrowkv.attention;

import io.sparrowkv.sae.VectorKind;
import java.lang.foreign.Arena;

/** Opens the sites of one sequence, and knows the largest of what they hold. */
interface KvSites {
    /** Opens a layer's keys or values. @param arena for memory that lives as long as the cache */
    KvSite open(int layer, VectorKind kind, Arena arena);

    /** Most pairs of a code, at least 1, which it is where nothing is coded over dictionaries. */
    default int largestBudget() {
        return 1;
    }

    /** Most atoms of a dictionary, at least 1, which it is where there are none. */
    default int mostLatents() {
        return 1;
    }

    /** Numbers of a residual, at each site that keeps residuals; 0 where none does. */
    default int residualNumbers() {
        return 0;
    }

    /** Bytes of the dictionaries that the sites are read with. */
    long dictionaryBytes();
}
