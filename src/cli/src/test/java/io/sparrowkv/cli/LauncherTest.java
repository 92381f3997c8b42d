package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The launcher script as a process, in a checkout of the smallest kind whose Maven is a script that notes its calls. */
class LauncherTest {
    /** What the JVM says whenever the Vector API is used; it has no switch. */
    private static final String INCUBATOR = "WARNING: Using incubator modules: jdk.incubator.vector";

    @TempDir
    Path folder;

    private Path checkout;
    private Path bin;
    private String javaHome = System.getProperty("java.home");

    @BeforeEach
    void makeCheckout() throws IOException {
        Path repository = repository();
        assumeTrue(Files.isExecutable(Path.of("/bin/bash")), "the launcher needs bash");
        checkout = Files.createDirectories(folder.resolve("a check out"));
        bin = Files.createDirectories(folder.resolve("bin"));
        Files.copy(repository.resolve("sparrow"), checkout.resolve("sparrow"));
        executable(checkout.resolve("sparrow"));
        Files.copy(repository.resolve("jvm.options"), checkout.resolve("jvm.options"));
        Files.createDirectories(checkout.resolve("libexec"));
        try (Stream<Path> scripts = Files.list(repository.resolve("libexec"))) {
            for (Path script : scripts.toList()) {
                Files.copy(
                        script,
                        checkout.resolve("libexec").resolve(script.getFileName()),
                        StandardCopyOption.COPY_ATTRIBUTES);
            }
        }
        Files.createDirectories(checkout.resolve("src/cli/src/main"));
        Files.createDirectories(checkout.resolve("arrow-schemas"));
        Files.writeString(checkout.resolve("pom.xml"), "<project/>");
        Files.writeString(checkout.resolve("src/cli/pom.xml"), "<project/>");
        Path classpath = folder.resolve("classpath");
        Files.writeString(classpath, classpath());
        Path jar = folder.resolve("empty.jar");
        new JarOutputStream(Files.newOutputStream(jar)).close();
        Path mvn = bin.resolve("mvn");
        Files.writeString(mvn, """
                #!/bin/bash
                echo "$@" >>'%1$s/calls'
                [ ! -e '%1$s/broken' ] || { echo '[ERROR] cannot compile'; exit 1; }
                mkdir -p src/cli/target
                cp '%1$s/empty.jar' src/cli/target/sparrow-cli-1.jar
                cp '%1$s/classpath' src/cli/target/launcher.classpath
                """.formatted(folder));
        executable(mvn);
    }

    @Test
    void firstUseBuildsAndLaterUsesDoNot() throws Exception {
        Run first = launch(checkout.resolve("sparrow"), "--version");
        assertThat(first.code()).as(first.err()).isZero();
        assertThat(first.out()).startsWith("sparrow ");
        assertThat(first.err()).contains("sparrow: building (first use");

        Run second = launch(checkout.resolve("sparrow"), "--version");
        assertThat(second.code()).isZero();
        assertThat(second.err()).isEqualTo(INCUBATOR + "\n");
        assertThat(builds()).isEqualTo(1);
    }

    @Test
    void itRunsThroughSymlinksFromAnywhereAndPassesArgumentsAndExitCodes() throws Exception {
        Path link = Files.createSymbolicLink(
                folder.resolve("link to sparrow"),
                Files.createSymbolicLink(folder.resolve("middle"), Path.of("a check out/sparrow")));
        launch(link, "--version");

        Run run = launch(link, "bench", "encode", "--encoder", "no such one ü", "");
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.out()).isEmpty();
        assertThat(run.err()).contains("sparrow: error: Unmatched argument at index 4: ''");
        assertThat(launch(link, "bench", "encode", "--encoder", "no such one ü").err())
                .contains("--encoder no such one ü: no such encoder");
    }

    @Test
    void newerSourcesAndVanishedJarsLeadToABuild() throws Exception {
        Path sparrow = checkout.resolve("sparrow");
        launch(sparrow, "--version");
        Path sources = checkout.resolve("src/cli/src/main");
        FileTime before = Files.getLastModifiedTime(sources);
        Path source = Files.writeString(sources.resolve("A.java"), "class A {}");
        Files.setLastModifiedTime(sources, before);
        Files.setLastModifiedTime(source, FileTime.from(Instant.now().plusSeconds(60)));
        Run rebuilt = launch(sparrow, "--version");
        assertThat(rebuilt.err()).contains("sparrow: building (src/cli/src/main/A.java is newer");
        assertThat(rebuilt.code()).isZero();
        assertThat(rebuilt.out()).startsWith("sparrow ");
        Files.setLastModifiedTime(source, FileTime.from(Instant.EPOCH));

        Path jar = Files.createFile(folder.resolve("library.jar"));
        Path classpathFile = checkout.resolve("src/cli/target/launcher.classpath");
        Files.writeString(classpathFile, classpath() + ":" + jar);
        Files.setLastModifiedTime(classpathFile, FileTime.from(Instant.now().plusSeconds(120)));
        assertThat(launch(sparrow, "--version").err()).doesNotContain("building");
        Files.delete(jar);
        assertThat(launch(sparrow, "--version").err()).contains("sparrow: building (" + jar + " is gone)");
        assertThat(builds()).isEqualTo(3);
    }

    @Test
    void aFailedBuildShowsMavensErrorsAndEndsWithCode1() throws Exception {
        Files.createFile(folder.resolve("broken"));
        Run run = launch(checkout.resolve("sparrow"), "info", "--json");
        assertThat(run.code()).isEqualTo(1);
        assertThat(run.out()).isEmpty();
        assertThat(run.err()).contains("[ERROR] cannot compile", "sparrow: the build failed");
    }

    @Test
    void aMissingMavenIsOneClearLine() throws Exception {
        Files.delete(bin.resolve("mvn"));
        for (String tool : List.of("bash", "readlink", "dirname", "grep", "find", "mkdir", "flock", "mktemp", "env")) {
            Path found = Path.of("/usr/bin", tool);
            if (Files.exists(found)) {
                Files.createSymbolicLink(bin.resolve(tool), found);
            }
        }
        Run run = launch(bin.toString(), checkout.resolve("sparrow"), "info");
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.err()).startsWith("sparrow: Maven is needed").contains("install Maven");
        assertThat(run.err().lines()).hasSize(1);
    }

    @Test
    void aResultThatCannotBeWrittenIsNoSuccess() throws Exception {
        Path full = Path.of("/dev/full");
        assumeTrue(Files.exists(full), "no device that is always full");
        launch(checkout.resolve("sparrow"), "--version");
        Run run = launch(full, bin + ":" + System.getenv("PATH"), checkout.resolve("sparrow"), "--version");
        assertThat(run.code()).isEqualTo(1);
        assertThat(run.err()).endsWith("sparrow: error: the result could not be written to stdout\n");
    }

    @Test
    void libtorchsIdleThreadsSleepUnlessTheCacheIsItsOwn() throws Exception {
        Path jdk = Files.createDirectories(folder.resolve("jdk/bin")).getParent();
        Files.writeString(jdk.resolve("release"), "JAVA_VERSION=\"25.0.1\"\n");
        for (String tool : List.of("java", "javac")) {
            Path script = jdk.resolve("bin").resolve(tool);
            Files.writeString(script, "#!/bin/bash\necho \"${OMP_WAIT_POLICY:-unset}\"\n");
            executable(script);
        }
        javaHome = jdk.toString();
        Path sparrow = checkout.resolve("sparrow");
        assertThat(launch(sparrow, "generate", "--profile", "paper").out()).isEqualTo("passive\n");
        assertThat(launch(sparrow, "generate", "--codec", "rotated-2").out()).isEqualTo("passive\n");
        assertThat(launch(sparrow, "generate", "--codec", "dense").out()).isEqualTo("unset\n");
        assertThat(launch(sparrow, "generate", "--codec=dense").out()).isEqualTo("unset\n");
    }

    private long builds() throws IOException {
        try (var calls = Files.lines(folder.resolve("calls"))) {
            return calls.count();
        }
    }

    private Run launch(Path sparrow, String... arguments) throws Exception {
        return launch(bin + ":" + System.getenv("PATH"), sparrow, arguments);
    }

    private Run launch(String path, Path sparrow, String... arguments) throws Exception {
        Path out = folder.resolve("out");
        Run run = launch(out, path, sparrow, arguments);
        return new Run(run.code(), Files.readString(out, StandardCharsets.UTF_8), run.err());
    }

    private Run launch(Path out, String path, Path sparrow, String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(sparrow.toString()));
        command.addAll(List.of(arguments));
        Path err = folder.resolve("err");
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(Path.of("/").toFile())
                .redirectOutput(out.toFile())
                .redirectError(err.toFile());
        builder.environment().put("PATH", path);
        builder.environment().put("JAVA_HOME", javaHome);
        builder.environment().remove("OMP_WAIT_POLICY");
        builder.environment().put("TORNADOVM_HOME", "none"); // its kernels would have to be built too
        int code = builder.start().waitFor();
        return new Run(code, "", Files.readString(err, StandardCharsets.UTF_8));
    }

    private static String classpath() {
        // surefire's own ends with an empty entry
        return System.getProperty("java.class.path").replaceAll(":+$", "");
    }

    private static Path repository() {
        Path here = Path.of("").toAbsolutePath();
        while (!Files.exists(here.resolve("sparrow"))) {
            here = here.getParent();
        }
        return here;
    }

    private static void executable(Path file) throws IOException {
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
}
