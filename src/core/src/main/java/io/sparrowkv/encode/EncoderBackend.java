package io.sparrowkv.encode;

import io.sparrowkv.sae.Dictionary;

/** A started way of encoding: threads or a device, from which the encoders of all sites are opened. */
public interface EncoderBackend extends AutoCloseable {
    /** Name as {@code --encoder} takes it, such as {@code scalar} or {@code vector}. */
    String name();

    /** What it runs on, for people: {@code Vector API, 512 bits, 2 threads}. */
    String description();

    /** Opens an encoder over {@code dictionary}; the caller closes it, before the backend. */
    TopKEncoder open(Dictionary dictionary);

    @Override
    void close();
}
