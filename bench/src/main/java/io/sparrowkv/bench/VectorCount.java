package io.sparrowkv.bench;

import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/** Vectors that a benchmark has gone through, reported as a rate. */
@AuxCounters
@State(Scope.Thread)
public class VectorCount {
    public long vectors;
}
