package io.sparrowkv.store.chronicle;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import net.openhft.chronicle.hash.impl.util.jna.PosixFallocate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The three map files of a store: made, opened, and repaired when they were not closed in order or are damaged. */
final class MapFiles implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(MapFiles.class);
    private static final List<String> NAMES = List.of("prefixes.dat", "blocks.dat", "dense.dat");

    /** Least factor by which files that came out too large are made smaller. */
    private static final double LEAST_STEP = 1.01;

    final SlotFile prefixes;
    final SlotFile blocks;
    final SlotFile dense;
    private final StoreManifest manifest;
    private final List<FileChannel> channels = new ArrayList<>();
    private final List<Long> lengths = new ArrayList<>();

    private MapFiles(StoreManifest manifest, List<SlotFile> files) throws IOException {
        this.manifest = manifest;
        prefixes = files.get(0);
        blocks = files.get(1);
        dense = files.get(2);
        try {
            for (SlotFile file : files) {
                FileChannel channel = FileChannel.open(file.file(), StandardOpenOption.WRITE);
                channels.add(channel);
                lengths.add(channel.size());
            }
        } catch (IOException e) {
            close();
            throw e;
        }
    }

    /** Makes empty files that together take at most {@code capacity} bytes. */
    static MapFiles create(Path folder, StoreProfile profile, long capacity) throws IOException {
        long free = Files.getFileStore(folder).getUsableSpace();
        if (free < capacity) {
            throw new FileSystemException(
                    folder.toString(),
                    null,
                    "a store of %d bytes does not fit, %d are free; give it a smaller capacity"
                            .formatted(capacity, free));
        }
        double overhead = StoreManifest.MAP_OVERHEAD;
        while (true) {
            StoreManifest manifest = StoreManifest.of(profile, capacity, overhead);
            MapFiles files = create(folder, manifest);
            long bytes = files.byteSize();
            if (bytes <= capacity) {
                return files;
            }
            files.close();
            delete(folder);
            overhead *= Math.max(LEAST_STEP, (double) bytes / capacity);
        }
    }

    private static MapFiles create(Path folder, StoreManifest manifest) throws IOException {
        try {
            return open(folder, manifest, SlotFile.Opening.CREATE);
        } catch (IOException | RuntimeException | Error e) {
            delete(folder);
            throw e;
        }
    }

    /** What the files were made for. */
    StoreManifest manifest() {
        return manifest;
    }

    /**
     * Opens the files.
     *
     * @param owner tells whether they were closed in order, and whether they may be repaired now
     */
    static MapFiles open(Path folder, StoreManifest manifest, OwnerFile owner) throws IOException {
        ShutdownMark mark = owner.mark();
        if (!owner.alone()) {
            for (int i = 0; i < mark.seals().size(); i++) {
                if (Files.size(folder.resolve(NAMES.get(i)))
                        < mark.seals().get(i).length()) {
                    throw new FileSystemException(
                            folder.toString(), null, NAMES.get(i) + " was cut while another process has it open");
                }
            }
            return open(folder, manifest, SlotFile.Opening.OPEN);
        }
        if (mark.clean() && asSealed(folder, mark.seals())) {
            reserve(folder, mark.seals());
            return open(folder, manifest, SlotFile.Opening.OPEN);
        }
        LOG.warn(
                "{}: {}; checking it",
                folder,
                mark.clean()
                        ? "the store was damaged since it was closed"
                        : "the store was not closed in order by its last owner"
                                + (mark.process() == 0 ? "" : ", process " + mark.process()));
        MapFiles files;
        reserve(folder, mark.seals());
        try {
            files = open(folder, manifest, SlotFile.Opening.RECOVER);
            files.sweep();
        } catch (IOException | RuntimeException | InternalError e) {
            LOG.warn("{}: the store is beyond repair ({}); it starts empty", folder, e.getMessage());
            delete(folder);
            files = create(folder, manifest);
        }
        return files;
    }

    /** The files' lengths and structures, and their checksums if wanted. */
    List<ShutdownMark.Seal> describe() throws IOException {
        List<ShutdownMark.Seal> seals = new ArrayList<>();
        for (SlotFile file : List.of(prefixes, blocks, dense)) {
            seals.add(new ShutdownMark.Seal(Files.size(file.file()), file.structure(), 0));
        }
        return seals;
    }

    /** Seals with the checksums of the files as they are now; they should be closed. */
    static List<ShutdownMark.Seal> seal(Path folder, List<ShutdownMark.Seal> described) throws IOException {
        List<ShutdownMark.Seal> seals = new ArrayList<>();
        for (int i = 0; i < NAMES.size(); i++) {
            ShutdownMark.Seal seal = described.get(i);
            int checksum = seal.structure().checksum(folder.resolve(NAMES.get(i)));
            seals.add(new ShutdownMark.Seal(seal.length(), seal.structure(), checksum));
        }
        return seals;
    }

    /** @throws IOException when somebody has cut a file: reading past the end of a mapped one would end the process */
    void requireWhole() throws IOException {
        for (int i = 0; i < channels.size(); i++) {
            if (channels.get(i).size() < lengths.get(i)) {
                throw new IOException(NAMES.get(i) + " was cut while it is open");
            }
        }
    }

    /** Forces what was written to the disk. */
    void force() throws IOException {
        for (FileChannel channel : channels) {
            channel.force(false);
        }
    }

    /** Bytes of the files. */
    long byteSize() throws IOException {
        long bytes = 0;
        for (SlotFile file : List.of(prefixes, blocks, dense)) {
            bytes += Files.size(file.file());
        }
        return bytes;
    }

    @Override
    public void close() throws IOException {
        prefixes.close();
        blocks.close();
        dense.close();
        for (FileChannel channel : channels) {
            channel.close();
        }
    }

    private static MapFiles open(Path folder, StoreManifest manifest, SlotFile.Opening opening) throws IOException {
        List<SlotFile> files = new ArrayList<>();
        try {
            files.add(SlotFile.open(folder.resolve(NAMES.get(0)), manifest.prefixSlots(), PrefixRecord.BYTES, opening));
            files.add(SlotFile.open(
                    folder.resolve(NAMES.get(1)),
                    manifest.blockSlots(),
                    StoreManifest.blockSlotBytes(manifest.profile()),
                    opening));
            files.add(SlotFile.open(
                    folder.resolve(NAMES.get(2)),
                    Math.max(1, manifest.denseSlots()),
                    StoreManifest.denseSlotBytes(manifest.profile()),
                    opening));
            return new MapFiles(manifest, files);
        } catch (IOException | RuntimeException | Error e) {
            files.forEach(SlotFile::close);
            throw e;
        }
    }

    private static boolean asSealed(Path folder, List<ShutdownMark.Seal> seals) {
        for (int i = 0; i < NAMES.size(); i++) {
            Path file = folder.resolve(NAMES.get(i));
            ShutdownMark.Seal seal = seals.get(i);
            try {
                if (Files.size(file) != seal.length()
                        || !seal.structure().fits(seal.length())
                        || seal.structure().checksum(file) != seal.checksum()) {
                    return false;
                }
            } catch (IOException e) {
                LOG.debug("{}: {}", file, e.getMessage());
                return false;
            }
        }
        return true;
    }

    /**
     * Gives cut files their length back, since the map would be mapped past their end, and files with holes their room: a full disk
     * shows here, as an error, and not when a mapped page is written, which would end the process.
     */
    private static void reserve(Path folder, List<ShutdownMark.Seal> seals) throws IOException {
        for (int i = 0; i < seals.size(); i++) {
            Path path = folder.resolve(NAMES.get(i));
            try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
                long length = Math.max(file.length(), seals.get(i).length());
                try {
                    PosixFallocate.fallocate(file.getFD(), 0, length);
                } catch (IOException e) {
                    throw new FileSystemException(
                            path.toString(),
                            null,
                            "the disk has no room for the %d bytes of %s".formatted(length, path.getFileName()));
                }
            }
        }
    }

    /** Removes what recovery has left without meaning: damaged prefixes, those that follow no other, and slots of none. */
    private void sweep() {
        Set<Long> kept = new HashSet<>();
        List<Long> lost = new ArrayList<>();
        do {
            kept.clear();
            lost.clear();
            prefixes.forEach((prefix, slot, record) -> kept.add(prefix));
            prefixes.forEach((prefix, slot, record) -> {
                boolean follows = PrefixRecord.end(record) <= 0
                        || PrefixRecord.parent(record) == 0
                        || kept.contains(PrefixRecord.parent(record));
                if (!PrefixRecord.intact(record) || !follows) {
                    lost.add(prefix);
                }
            });
            lost.forEach(prefix -> prefixes.remove(prefix, 0));
        } while (!lost.isEmpty());
        for (SlotFile file : List.of(blocks, dense)) {
            List<long[]> strays = new ArrayList<>();
            file.forEach((prefix, slot, memory) -> {
                if (BlockSlot.prefix(memory) != prefix || !kept.contains(prefix)) {
                    strays.add(new long[] {prefix, slot});
                }
            });
            strays.forEach(key -> file.remove(key[0], key[1]));
        }
    }

    private static void delete(Path folder) throws IOException {
        for (String name : NAMES) {
            Files.deleteIfExists(folder.resolve(name));
        }
    }
}
