package io.sparrowkv.cli;

import io.sparrowkv.store.chronicle.ChronicleBlockStore;
import io.sparrowkv.store.chronicle.StoreManifest;
import io.sparrowkv.store.chronicle.StoreProfile;
import io.sparrowkv.store.chronicle.Sync;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Option;

/** A store that keeps the codes of texts from run to run. */
final class StoreArguments {
    private static final Logger LOG = LoggerFactory.getLogger(StoreArguments.class);

    @Option(
            names = "--store",
            paramLabel = "DIR",
            description = "Keep codes here and reuse those of a known beginning; made where it is missing.")
    private Optional<Path> store = Optional.empty();

    @Option(
            names = "--store-capacity",
            paramLabel = "BYTES",
            defaultValue = "1G",
            converter = ByteSize.Converter.class,
            description = "Most bytes of a store that is made now (default: 1G).")
    private ByteSize capacity;

    @Option(
            names = "--sync",
            paramLabel = "WHEN",
            defaultValue = "close",
            description = "Force the store to disk always, at an interval of a second, or at close (default: close).")
    private String sync;

    /** Whether a store is asked for. */
    boolean given() {
        return store.isPresent();
    }

    /**
     * Opens the store, or makes it. One that cannot be read or written is none, and that is said.
     *
     * @param profile of the codes, asked for when there is to be a store: not all codes can be kept
     * @throws io.sparrowkv.io.InvalidInputException when it was made for other codes
     */
    Optional<ChronicleBlockStore> open(Supplier<StoreProfile> profile) {
        Sync when = Sync.of(sync);
        if (store.isEmpty()) {
            return Optional.empty();
        }
        Path folder = store.get();
        try {
            return Optional.of(
                    Files.notExists(folder.resolve(StoreManifest.NAME))
                            ? ChronicleBlockStore.create(folder, profile.get(), capacity.bytes(), when)
                            : ChronicleBlockStore.open(folder, profile.get(), when));
        } catch (IOException e) {
            LOG.warn("{}: going on without the store ({})", folder, StoreFolder.reason(e));
            return Optional.empty();
        }
    }
}
