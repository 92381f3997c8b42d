package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserPrincipal;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Folders and disks that refuse a store, met by processes that may do no more than an ordinary user. */
class StoreFoldersTest {
    private static final boolean ROOT = "root".equals(System.getProperty("user.name"));

    /** Takes from root what makes it pass by permissions; its own files stay its own. */
    private static final List<String> AS_ORDINARY_USER = List.of(
            "setpriv",
            "--inh-caps=-dac_override,-dac_read_search",
            "--bounding-set=-dac_override,-dac_read_search",
            "--");

    @TempDir
    private Path folder;

    private Path store;
    private Path mounted;

    private record Ended(int code, List<String> err) {}

    @BeforeEach
    void nameTheStore() {
        store = folder.resolve("store");
    }

    @AfterEach
    void makeRemovable() throws IOException, InterruptedException {
        if (mounted != null) {
            run("umount", mounted.toString());
        }
        if (Files.isDirectory(store)) {
            Files.setPosixFilePermissions(store, PosixFilePermissions.fromString("rwx------"));
        }
    }

    @Test
    void aReadOnlyStoreIsRefusedAndGenerationGoesOnWithoutIt() throws IOException, InterruptedException {
        assumeOrdinaryUser();
        assertThat(sparrow("store", "create", store.toString(), "--capacity", "48M")
                        .code())
                .isZero();
        try (var files = Files.list(store)) {
            for (Path file : files.toList()) {
                Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("r--------"));
            }
        }
        Files.setPosixFilePermissions(store, PosixFilePermissions.fromString("r-x------"));

        Ended stat = sparrow("store", "stat", store.toString());
        assertThat(stat).isEqualTo(refused("permission denied; choose a folder that can be read and written"));
        Ended generate =
                sparrow("generate", "--prompt", "Once upon a time", "--max-tokens", "2", "--store", store.toString());
        assertThat(generate.code()).as("%s", generate).isZero();
        assertThat(generate.err().stream().filter(line -> line.contains("warning")))
                .containsExactly("sparrow: warning: " + store + ": going on without the store (permission denied;"
                        + " choose a folder that can be read and written)");
    }

    @Test
    void aFolderOfAnotherUserIsRefused() throws IOException, InterruptedException {
        assumeOrdinaryUser();
        assumeTrue(ROOT, "only root gives a folder to another user");
        UserPrincipal nobody =
                store.getFileSystem().getUserPrincipalLookupService().lookupPrincipalByName("nobody");
        Files.createDirectory(store);
        Files.setPosixFilePermissions(store, PosixFilePermissions.fromString("rwx------"));
        Files.setOwner(store, nobody);

        Ended denied = refused("permission denied; choose a folder that can be read and written");
        assertThat(sparrow("store", "create", store.toString(), "--capacity", "48M"))
                .isEqualTo(denied);
        assertThat(sparrow("store", "verify", store.toString())).isEqualTo(denied);
    }

    @Test
    void aFullDiskIsOneClearLine() throws IOException, InterruptedException {
        mount(48);
        store = mounted.resolve("store");
        Ended tooLarge = sparrow("store", "create", store.toString(), "--capacity", "64M");
        assertThat(tooLarge.code()).isEqualTo(2);
        assertThat(tooLarge.err()).singleElement().asString().contains("does not fit", "are free");

        assertThat(sparrow("store", "create", store.toString(), "--capacity", "40M")
                        .code())
                .isZero();
        // A copy that left out what was zero: its room is gone when it is wanted.
        run("fallocate", "--dig-holes", store.resolve("blocks.dat").toString());
        Files.write(mounted.resolve("other"), new byte[(int) mounted.toFile().getUsableSpace()]);
        Ended full = sparrow("store", "verify", store.toString());
        assertThat(full.code()).isEqualTo(2);
        assertThat(full.err()).singleElement().asString().contains("the disk has no room for the", "of blocks.dat");
        Ended generate =
                sparrow("generate", "--prompt", "Once upon a time", "--max-tokens", "2", "--store", store.toString());
        assertThat(generate.code()).as("%s", generate).isZero();
        assertThat(generate.err().stream().filter(line -> line.contains("warning")))
                .singleElement()
                .asString()
                .contains("going on without the store (the disk has no room");
    }

    private void mount(int megabytes) throws IOException, InterruptedException {
        assumeTrue(ROOT, "only root mounts a small disk");
        Path point = Files.createDirectory(folder.resolve("disk"));
        assumeTrue(
                run("mount", "-t", "tmpfs", "-o", "size=" + megabytes + "m", "tmpfs", point.toString())
                                .code()
                        == 0,
                "a tmpfs cannot be mounted here");
        mounted = point;
    }

    private Ended refused(String reason) {
        return new Ended(2, List.of("sparrow: error: " + store + ": cannot be used (" + reason + ")"));
    }

    private static void assumeOrdinaryUser() throws IOException, InterruptedException {
        if (ROOT) {
            List<String> command = new ArrayList<>(AS_ORDINARY_USER);
            command.add("true");
            assumeTrue(run(command.toArray(String[]::new)).code() == 0, "setpriv cannot take root's privileges here");
        }
    }

    /** Runs the command line in a process of its own, without root's privileges. */
    private static Ended sparrow(String... arguments) throws IOException, InterruptedException {
        Path repository = BadInputTest.repository();
        List<String> command = new ArrayList<>(ROOT ? AS_ORDINARY_USER : List.of());
        command.add(ProcessHandle.current().info().command().orElseThrow());
        command.add("@" + repository.resolve("jvm.options"));
        command.addAll(List.of("-Xlog:disable", "-Dsparrow.home=" + repository));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName()));
        command.addAll(List.of(arguments));
        Ended ended = run(command.toArray(String[]::new));
        return new Ended(
                ended.code(),
                ended.err().stream()
                        .filter(line -> !line.startsWith("WARNING: Using incubator modules"))
                        .toList());
    }

    private static Ended run(String... command) throws IOException, InterruptedException {
        Process process;
        try {
            process = new ProcessBuilder(command)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
        } catch (IOException e) {
            return new Ended(-1, List.of(e.getMessage()));
        }
        String err = new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(2, TimeUnit.MINUTES)).isTrue();
        return new Ended(process.exitValue(), err.lines().toList());
    }
}
