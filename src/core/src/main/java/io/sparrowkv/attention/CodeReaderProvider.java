package io.sparrowkv.attention;

import io.sparrowkv.io.InvalidInputException;
import java.util.Optional;

/** One way of reading codes on devices, found by {@link java.util.ServiceLoader}. */
public interface CodeReaderProvider {
    /** Name as {@link CodeReaders#open} takes it. */
    String name();

    /** Why it cannot start here and what to do about it, in one line; empty when it can. */
    Optional<String> unavailable();

    /**
     * Opens a reader, with its dictionaries on the device.
     *
     * @param device which device; empty for the preferred one
     * @throws InvalidInputException when there is no such device, or it reads wrongly
     */
    CodeReader open(String device, CodedLayer layer);
}
