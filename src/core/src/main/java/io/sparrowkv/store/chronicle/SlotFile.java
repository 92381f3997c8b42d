package io.sparrowkv.store.chronicle;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.file.Path;
import net.openhft.chronicle.bytes.RandomDataInput;
import net.openhft.chronicle.bytes.RandomDataOutput;
import net.openhft.chronicle.hash.Data;
import net.openhft.chronicle.hash.impl.VanillaChronicleHash;
import net.openhft.chronicle.map.ChronicleMap;
import net.openhft.chronicle.map.ChronicleMapBuilder;
import net.openhft.chronicle.map.ExternalMapQueryContext;
import net.openhft.chronicle.map.MapEntry;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A Chronicle Map in a file, whose values are slots of one size that are written and read in place.
 *
 * <p>Keys and values have constant sizes, so that no length that a damaged file could falsify stands between the map and its
 * entries. The map's own checksums are off: a slot carries those of its contents, and is not read as a whole after a crash.
 */
final class SlotFile implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SlotFile.class);

    /** Boundary of a slot's first byte: that of the blocks within. */
    static final int ALIGNMENT = 64;

    private static final VarHandle LONGS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    /**
     * Slots of a segment. Hashing fills segments unevenly, and each keeps room for that: the map's own choice of segments takes 1.28
     * times the slots' bytes at 4,000 slots, this one 1.003, and at 32,000 some 1.1 where the map's own takes 1.14.
     */
    private static final long SEGMENT_SLOTS = 2048;

    private static final long MOST_SEGMENTS = 64;
    private static final int KEY_BYTES = 2 * Long.BYTES;

    /** How a file is opened. */
    enum Opening {
        CREATE,
        OPEN,
        /** After a crash or damage: repairs what it can and drops the rest. Needs the file to itself. */
        RECOVER
    }

    /** Fills a slot in place. */
    interface Writer {
        /** @param fresh whether the slot is new, its content undefined */
        void write(MemorySegment slot, boolean fresh);
    }

    private final Path file;
    private final long slotBytes;
    private final ChronicleMap<byte[], byte[]> map;
    private final ThreadLocal<byte[]> keys = ThreadLocal.withInitial(() -> new byte[KEY_BYTES]);

    private SlotFile(Path file, long slotBytes, ChronicleMap<byte[], byte[]> map) {
        this.file = file;
        this.slotBytes = slotBytes;
        this.map = map;
    }

    /** @param slots entries that the file must be able to hold */
    static SlotFile open(Path file, long slots, long slotBytes, Opening opening) throws IOException {
        ChronicleMapBuilder<byte[], byte[]> builder = ChronicleMapBuilder.of(byte[].class, byte[].class)
                .name(file.getFileName().toString())
                .entries(slots)
                .actualSegments((int) Math.clamp(slots / SEGMENT_SLOTS, 1, MOST_SEGMENTS))
                .constantKeySizeBySample(new byte[KEY_BYTES])
                .constantValueSizeBySample(new byte[Math.toIntExact(slotBytes)])
                .entryAndValueOffsetAlignment(ALIGNMENT)
                .allowSegmentTiering(false) // the file would grow beyond its capacity when a segment is full
                .checksumEntries(false)
                .putReturnsNull(true)
                .removeReturnsNull(true)
                .skipCloseOnExitHook(true);
        ChronicleMap<byte[], byte[]> map = opening == Opening.RECOVER
                ? builder.recoverPersistedTo(
                        file.toFile(), true, corruption -> LOG.info("{}: {}", file, corruption.message()))
                : builder.createPersistedTo(file.toFile());
        return new SlotFile(file, slotBytes, map);
    }

    Path file() {
        return file;
    }

    long slotBytes() {
        return slotBytes;
    }

    /** The slot in the mapped memory, or null. It stays that key's for as long as nobody removes it. */
    MemorySegment find(long prefix, long slot) {
        try (ExternalMapQueryContext<byte[], byte[], ?> query = map.queryContext(key(prefix, slot))) {
            query.readLock().lock();
            MapEntry<byte[], byte[]> entry = query.entry();
            return entry == null ? null : memory(entry.value());
        }
    }

    boolean contains(long prefix, long slot) {
        try (ExternalMapQueryContext<byte[], byte[], ?> query = map.queryContext(key(prefix, slot))) {
            query.readLock().lock();
            return query.entry() != null;
        }
    }

    /** Lets {@code writer} fill the key's slot, a new one where there is none. Returns false when the file has no room left. */
    boolean write(long prefix, long slot, Writer writer) {
        try (ExternalMapQueryContext<byte[], byte[], ?> query = map.queryContext(key(prefix, slot))) {
            query.updateLock().lock();
            MapEntry<byte[], byte[]> entry = query.entry();
            if (entry != null) {
                writer.write(memory(entry.value()), false);
            } else {
                query.insert(query.absentEntry(), new Contents(slotBytes, writer));
            }
            return true;
        } catch (IllegalStateException e) {
            if (isFull(e)) {
                return false;
            }
            throw e;
        }
    }

    boolean remove(long prefix, long slot) {
        try (ExternalMapQueryContext<byte[], byte[], ?> query = map.queryContext(key(prefix, slot))) {
            query.updateLock().lock();
            MapEntry<byte[], byte[]> entry = query.entry();
            if (entry == null) {
                return false;
            }
            query.remove(entry);
            return true;
        }
    }

    long count() {
        return map.longSize();
    }

    /** Gives each slot, under its segment's lock: the visitor must not touch this file. */
    void forEach(Visitor visitor) {
        map.forEachEntry(entry -> {
            Data<byte[]> key = entry.key();
            long prefix = key.bytes().readLong(key.offset());
            long slot = key.bytes().readLong(key.offset() + Long.BYTES);
            visitor.visit(prefix, slot, memory(entry.value()));
        });
    }

    /** Sees a slot. */
    interface Visitor {
        void visit(long prefix, long slot, MemorySegment memory);
    }

    /** Where the parts of the file lie that are not slots: what a damaged bit would send the map astray by. */
    FileStructure structure() {
        VanillaChronicleHash<?, ?, ?, ?> hash = (VanillaChronicleHash<?, ?, ?, ?>) map;
        long segments = hash.segmentBaseAddr(0) - hash.bsAddress();
        long lookup = hash.tierHashLookupOuterSize
                + VanillaChronicleHash.TIER_COUNTERS_AREA_SIZE
                + hash.tierFreeListOuterSize;
        return new FileStructure(segments, hash.tierSize, hash.actualSegments, lookup);
    }

    @Override
    public void close() {
        map.close();
    }

    private byte[] key(long prefix, long slot) {
        byte[] key = keys.get();
        LONGS.set(key, 0, prefix);
        LONGS.set(key, Long.BYTES, slot);
        return key;
    }

    private MemorySegment memory(Data<byte[]> value) {
        RandomDataInput bytes = value.bytes();
        return MemorySegment.ofAddress(bytes.addressForRead(value.offset())).reinterpret(slotBytes);
    }

    /** The map has no other sign of a segment without room than the text of its exception. */
    private static boolean isFull(IllegalStateException e) {
        String message = String.valueOf(e.getMessage());
        return message.contains("extra segment tier") || message.contains("extra tier");
    }

    /** What the map copies into a new entry: nothing, the writer fills it where it lies. */
    private record Contents(long size, Writer writer) implements Data<byte[]> {
        @Override
        public void writeTo(RandomDataOutput target, long offset) {
            writer.write(MemorySegment.ofAddress(target.addressForWrite(offset)).reinterpret(size), true);
        }

        @Override
        public RandomDataInput bytes() {
            throw new UnsupportedOperationException();
        }

        @Override
        public long offset() {
            return 0;
        }

        @Override
        public byte[] get() {
            throw new UnsupportedOperationException();
        }

        @Override
        public byte[] getUsing(byte[] using) {
            throw new UnsupportedOperationException();
        }
    }
}
