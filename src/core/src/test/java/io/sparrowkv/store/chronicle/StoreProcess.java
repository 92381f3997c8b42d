package io.sparrowkv.store.chronicle;

import io.sparrowkv.codec.CodeBlockLayout;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import io.sparrowkv.store.BlockKey;
import io.sparrowkv.store.BlockLease;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;

/**
 * A process that works on a store, to be killed: {@code write} puts blocks and says so for each, {@code read} opens, reads all
 * blocks and says what it found, {@code mixed} does both for a while beside others, {@code hold} opens and waits, {@code cut} has a
 * file cut while it is open, {@code stick} locks a map and never lets go, {@code meet} opens, waits, and puts a sequence.
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
                    say(MixedLoad.run(
                            store, Path.of(arguments[2]), Long.parseLong(arguments[3]), Long.parseLong(arguments[4])));
                case "read" -> read(store, arena);
                case "cut" -> cut(store, folder.resolve(arguments[2]));
                case "stick" -> stick(store);
                case "meet" -> {
                    say("open");
                    System.in.read();
                    int[] other = Profiles.tokens(2, 5 * 64 + 1);
                    Profiles.fill(store, other, arena);
                    say("restored " + restored(store, Profiles.tokens(1, 5 * 64 + 1)) + " and "
                            + restored(store, other));
                }
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
        command.add("-Dnet.openhft.chronicle.map.lockTimeoutSeconds=1"); // of a dead process, so that tests end soon
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
        say("restored " + restored(store, Profiles.tokens(1, 700)));
    }

    private static int restored(ChronicleBlockStore store, int[] tokens) {
        try (StoredSequence sequence = store.sequence(tokens)) {
            return sequence.restoredBlocks();
        }
    }

    /** Stays inside the map of blocks, its only segment locked against writers. */
    private static void stick(ChronicleBlockStore store) {
        store.parts().files().blocks.write(7, 0, (slot, fresh) -> {
            say("inside");
            try {
                Thread.sleep(Long.MAX_VALUE);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
    }

    static BlockKey key(long prefix, int layer, int kind) {
        return new BlockKey(prefix, Site.of(layer, VectorKind.values()[kind]));
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
