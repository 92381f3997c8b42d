package io.sparrowkv.encode;

import io.sparrowkv.sae.Dictionary;
import java.util.Optional;
import java.util.OptionalDouble;

/** A started way of encoding: threads or a device, from which the encoders of all sites are opened. */
public interface EncoderBackend extends AutoCloseable {
    /** Name as {@code --encoder} takes it, such as {@code scalar} or {@code vector}. */
    String name();

    /** What it runs on, for people: {@code Vector API, 512 bits, 2 threads}. */
    String description();

    /** Opens an encoder over {@code dictionary}; the caller closes it, before the backend. */
    TopKEncoder open(Dictionary dictionary);

    /** Why the codes come from somewhere else by now than from what it was started on, if they do: a device that was lost on the way. */
    default Optional<String> lost() {
        return Optional.empty();
    }

    /** Most fp32 operations that what it runs on can do, measured, in GFLOP/s; empty when there is no measure for it. */
    default OptionalDouble peakGigaflops() {
        return OptionalDouble.empty();
    }

    /**
     * Runs a call that encodes, and tells where its time went.
     *
     * @return empty, and nothing was run, when the backend has no device with a clock of its own
     */
    default Optional<DeviceTimes> profile(Runnable call) {
        return Optional.empty();
    }

    @Override
    void close();
}
