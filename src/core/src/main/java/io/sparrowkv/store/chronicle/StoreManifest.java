package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.AtomicFile;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.VectorKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What a store is, written once when it is made: {@value #NAME} in its folder.
 *
 * @param format version of the folder's layout
 * @param profile what the codes depend on
 * @param capacity most bytes that the map files take together
 * @param prefixSlots prefixes (one a block of tokens) that the store is sized for
 * @param denseSlots dense vectors of a block of tokens and one layer that it is sized for
 */
public record StoreManifest(int format, StoreProfile profile, long capacity, long prefixSlots, long denseSlots) {
    /** Version of the layout; a store of any other is refused. */
    public static final int FORMAT = 2;

    /** The file's name. */
    public static final String NAME = "manifest.json";

    /** A quarter of the room goes to dense vectors: sinks, and windows to go on from. */
    private static final int DENSE_SHARE = 4;

    /** What the maps take beyond their slots, at first guess: segments are sized for uneven hashing. */
    static final double MAP_OVERHEAD = 1.1;

    /** Blocks of tokens that a store has room for at least: a prompt of a thousand tokens. */
    private static final int LEAST_PREFIXES = 16;

    private static final JsonMapper JSON = JsonMapper.builder().build();

    /**
     * Sizes a new store.
     *
     * @param overhead bytes of the map files for each byte of their slots
     * @throws InvalidInputException when the capacity does not hold a prompt worth keeping
     */
    static StoreManifest of(StoreProfile profile, long capacity, double overhead) {
        double room = capacity / overhead;
        boolean keepsDense = profile.window() > 0 || profile.sinks() > 0;
        long dense = keepsDense ? (long) (room / DENSE_SHARE / denseSlotBytes(profile)) : 0;
        long prefixBytes = profile.layers() * blockSlotBytes(profile) + PrefixRecord.BYTES;
        long prefixes = (long) ((room - dense * denseSlotBytes(profile)) / prefixBytes);
        long leastDense = keepsDense ? profile.layers() * (2L * profile.denseBlocks() + 1) : 0;
        long least =
                Math.max((long) Math.ceil(MAP_OVERHEAD * DENSE_SHARE * leastDense * denseSlotBytes(profile)), (long)
                        Math.ceil(2 * MAP_OVERHEAD * LEAST_PREFIXES * prefixBytes));
        if (dense < leastDense || prefixes < LEAST_PREFIXES) {
            throw new InvalidInputException(
                    "a store of %d bytes is too small for this model; give it a capacity of at least %d"
                            .formatted(capacity, least));
        }
        return new StoreManifest(FORMAT, profile, capacity, prefixes, dense);
    }

    /** Bytes of a slot for the blocks of one layer. */
    static long blockSlotBytes(StoreProfile profile) {
        long most = 0;
        for (int layer = 0; layer < profile.layers(); layer++) {
            most = Math.max(
                    most,
                    profile.layout(layer, VectorKind.KEY).byteSize()
                            + profile.layout(layer, VectorKind.VALUE).byteSize());
        }
        return BlockSlot.HEADER_BYTES + most;
    }

    /** Bytes of a slot for the dense keys and values of a block of tokens of one layer. */
    static long denseSlotBytes(StoreProfile profile) {
        long vectors = 2L * CodeBlockLayout.TOKENS * profile.kvHeads() * profile.dHead() * Float.BYTES;
        return BlockSlot.HEADER_BYTES + (vectors + SlotFile.ALIGNMENT - 1) / SlotFile.ALIGNMENT * SlotFile.ALIGNMENT;
    }

    /** Tokens whose codes it has room for. */
    public long tokens() {
        return prefixSlots * CodeBlockLayout.TOKENS;
    }

    /** Layer slots for codes. */
    long blockSlots() {
        return prefixSlots * profile.layers();
    }

    private boolean isSized() {
        long most = capacity / Math.max(PrefixRecord.BYTES, blockSlotBytes(profile));
        return capacity > 0
                && prefixSlots >= LEAST_PREFIXES
                && prefixSlots <= most
                && denseSlots >= 0
                && denseSlots <= capacity / denseSlotBytes(profile);
    }

    /** @throws IOException when the folder cannot be written */
    void write(Path folder) throws IOException {
        AtomicFile.write(
                folder.resolve(NAME), JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(this));
    }

    /** @throws InvalidInputException when the folder is no store, or one of another version */
    public static StoreManifest read(Path folder) throws IOException {
        Path file = folder.resolve(NAME);
        byte[] content;
        try {
            content = Files.readAllBytes(file);
        } catch (NoSuchFileException e) {
            throw new InvalidInputException(
                    folder + ": is no store (no " + NAME + "); make one with 'sparrow store create'", e);
        }
        try {
            JsonNode fields = JSON.readTree(content);
            // Before the rest is read, since another version may have other fields.
            int format = fields.path("format").asInt(FORMAT);
            if (format != FORMAT) {
                throw new InvalidInputException(
                        "%s: the store's format version is %d, this program's %d; make a new store"
                                .formatted(file, format, FORMAT));
            }
            StoreManifest manifest = JSON.treeToValue(fields, StoreManifest.class);
            if (manifest.profile == null || !manifest.isSized()) {
                throw new InvalidInputException(file + ": its sizes contradict each other; make a new store");
            }
            return manifest;
        } catch (JacksonException e) {
            throw new InvalidInputException(
                    "%s: is damaged (%s); make a new store".formatted(file, e.getOriginalMessage()), e);
        }
    }

    /** @throws InvalidInputException that shows both values of what differs */
    public void require(Path folder, StoreProfile wanted) {
        List<String> differences = profile.differences(wanted, "this run's");
        if (!differences.isEmpty()) {
            throw new InvalidInputException(
                    "%s: %s; choose another store".formatted(folder, String.join("; ", differences)));
        }
    }
}
