package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * A process that works on a store, to be killed: {@code write} puts blocks and says so for each, {@code read} opens, reads all
 * blocks and says what it found, {@code hold} opens and waits, {@code cut} has a file cut while it is open.
 */
final class StoreProcess {
    private StoreProcess() {}

    public static void main(String[] arguments) throws IOException, InterruptedException {
        Path folder = Path.of(arguments[1]);
        try (ChronicleBlockStore store = ChronicleBlockStore.open(folder, Sync.CLOSE);
                Arena arena = Arena.ofConfined()) {
            switch (arguments[0]) {
                case "write" -> write(store, arena, Long.parseLong(arguments[2]));
                case "mixed" ->
                    mixed(store, Path.of(arguments[2]), Long.parseLong(arguments[3]), Long.parseLong(arguments[4]));
                case "read" -> read(store, arena);
                case "cut" -> cut(store, folder.resolve(arguments[2]));
                case "hold" -> {
                    say("holding");
                    System.in.read();
                }
                default -> throw new IllegalArgumentException(arguments[0]);
            }
        }
    }

    /** Starts this class in a JVM of its own with the project's flags. */
    static Process start(String... arguments) throws IOException {
        List<String> command = new ArrayList<>();
        command.add(ProcessHandle.current().info().command().orElseThrow());
        Path options = Path.of("").toAbsolutePath();
        while (!Files.exists(options.resolve("jvm.options"))) {
            options = options.getParent();
        }
        command.add("@" + options.resolve("jvm.options"));
        command.addAll(List.of("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), StoreProcess.class.getName()));
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command)
                .directory(options.toFile())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
    }

    /** What a process says, line by line. */
    static BufferedReader output(Process process) {
        return new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    }

    private static void write(ChronicleBlockStore store, Arena arena, long seed) {
        say("writing");
        SplittableRandom random = new SplittableRandom(seed);
        StoreProfile profile = store.manifest().profile();
        while (true) {
            BlockKey key = key(random.nextLong(), random.nextInt(profile.layers()), random.nextInt(2));
            CodeBlockLayout layout =
                    profile.layout(key.site().layer(), key.site().kind());
            try (Arena scratch = Arena.ofConfined()) {
                store.put(key, layout, Profiles.body(scratch, key, layout));
            }
            say("put " + key.prefix() + " " + key.site().layer() + " "
                    + key.site().kind().ordinal());
        }
    }

    /**
     * Puts, reads and removes for a while, in a store with room for all of it, where nothing may be lost, and in one that is too
     * small, where texts are evicted all the time and none may be wrong.
     */
    private static void mixed(ChronicleBlockStore roomy, Path smallFolder, long seed, long millis) throws IOException {
        Mixed load = new Mixed(roomy.manifest().profile(), seed);
        long start = System.nanoTime();
        long end = start + millis * 1_000_000;
        long quarter = start + millis * 250_000;
        long anonymous = 0;
        long texts = 0;
        try (ChronicleBlockStore small = ChronicleBlockStore.open(smallFolder, Sync.INTERVAL)) {
            for (long now = start; now < end; now = System.nanoTime()) {
                for (int i = 0; i < 200; i++) {
                    load.block(roomy);
                }
                load.text(small);
                texts++;
                if (anonymous == 0 && now > quarter) {
                    anonymous = anonymousMemory();
                }
            }
            say("read %d wrong %d lost %d damaged %d texts %d restored %d evicted %d grown %d"
                    .formatted(
                            load.read,
                            load.wrong,
                            load.lost,
                            roomy.counters().damaged() + small.counters().damaged(),
                            texts,
                            load.restored,
                            small.counters().evictedPrefixes(),
                            (anonymousMemory() - anonymous) >> 20));
        }
    }

    /** The load of one process, and what it expects to find. */
    private static final class Mixed {
        private static final int OWN_PREFIXES = 300;
        private static final int SHARED_PREFIXES = 300;
        private static final int TEXTS = 40;

        private final StoreProfile profile;
        private final SplittableRandom random;
        private final long seed;
        private final Set<BlockKey> present = new HashSet<>();
        private long read;
        private long wrong;
        private long lost;
        private long restored;

        Mixed(StoreProfile profile, long seed) {
            this.profile = profile;
            this.seed = seed;
            random = new SplittableRandom(seed);
        }

        /** Works on a block that is this process's alone, or on one that others put and remove as well. */
        void block(ChronicleBlockStore store) {
            boolean own = random.nextBoolean();
            long prefix = own ? 1_000_000 * (seed + 1) + random.nextInt(OWN_PREFIXES) : random.nextInt(SHARED_PREFIXES);
            BlockKey key = key(prefix, random.nextInt(profile.layers()), random.nextInt(2));
            CodeBlockLayout layout =
                    profile.layout(key.site().layer(), key.site().kind());
            int choice = random.nextInt(10);
            try (Arena arena = Arena.ofConfined()) {
                if (choice < 3) {
                    store.put(key, layout, Profiles.body(arena, key, layout));
                    present.add(key);
                } else if (choice < 9) {
                    Optional<BlockLease> lease = store.get(key);
                    lost += own && present.contains(key) && lease.isEmpty() ? 1 : 0;
                    if (lease.isPresent()) {
                        read++;
                        wrong += lease.get().body().mismatch(Profiles.body(arena, key, layout)) >= 0 ? 1 : 0;
                        lease.get().close();
                    }
                } else {
                    store.remove(key);
                    present.remove(key);
                }
            } catch (InvalidInputException e) {
                // Another process is removing this shared prefix at this moment.
                lost += own ? 1 : 0;
            }
        }

        /** Reads a text of those that all processes share, keeps the rest of it, and compares what the store had. */
        void text(ChronicleBlockStore store) {
            StoreProfile shape = store.manifest().profile();
            int[] tokens = Profiles.tokens(random.nextInt(TEXTS), 4 + 64 * (4 + random.nextInt(8)) + 1);
            try (Arena arena = Arena.ofConfined();
                    StoredSequence sequence = store.sequence(tokens)) {
                for (int block = 0; block < sequence.restoredBlocks(); block++) {
                    int layer = random.nextInt(shape.layers());
                    MemorySegment expected = Profiles.blockBody(arena, tokens, block, layer, VectorKind.KEY, shape);
                    wrong += sequence.block(block, Site.of(layer, VectorKind.KEY))
                                            .mismatch(expected)
                                    >= 0
                            ? 1
                            : 0;
                    restored++;
                }
            }
            try (Arena arena = Arena.ofConfined()) {
                Profiles.fill(store, tokens, arena);
            }
        }
    }

    /** Memory of this process that is no file's, in bytes; what is mapped belongs to the page cache. */
    private static long anonymousMemory() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("RssAnon:")) {
                return 1024 * Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        throw new IOException("/proc/self/status has no RssAnon");
    }

    private static void read(ChronicleBlockStore store, Arena arena) {
        long right = 0;
        long wrong = 0;
        for (BlockKey key : store.keys()) {
            Optional<BlockLease> lease = store.get(key);
            if (lease.isPresent()) {
                boolean same = lease.get()
                                .body()
                                .mismatch(Profiles.body(arena, key, lease.get().layout()))
                        < 0;
                right += same ? 1 : 0;
                wrong += same ? 0 : 1;
                lease.get().close();
            }
        }
        say("right " + right + " wrong " + wrong + " damaged "
                + store.counters().damaged());
    }

    private static void cut(ChronicleBlockStore store, Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.truncate(channel.size() / 2);
        }
        try (StoredSequence sequence = store.sequence(Profiles.tokens(1, 700))) {
            say("restored " + sequence.restoredBlocks());
        }
    }

    static BlockKey key(long prefix, int layer, int kind) {
        return new BlockKey(prefix, Site.of(layer, VectorKind.values()[kind]));
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
