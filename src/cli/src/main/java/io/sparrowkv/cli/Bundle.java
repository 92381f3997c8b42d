package io.sparrowkv.cli;

import io.sparrowkv.io.FolderTree;
import io.sparrowkv.io.InvalidInputException;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What a machine without Java needs to run Sparrow KV, as a folder that can be moved:
 *
 * <pre>
 * sparrow             launcher
 * runtime/            Java, made by jlink
 * lib/                the application and its libraries
 * jvm.options         flags of every process
 * models/             the bundled model and its dictionaries (not when encoding only)
 * kernels/            the encoder for TornadoVM          (with an SDK)
 * tornadovm/          the SDK's jars and native libraries (with an SDK)
 * tornadovm.options   its flags, in which {@value #PLACE} stands for the folder
 * </pre>
 *
 * @param home the checkout that runs
 * @param libraries jars of the running application, in their order
 * @param tornadoVm home of the SDK that goes with it
 * @param encodeOnly whether the model runtime and the persistent store stay behind
 */
record Bundle(Path home, List<Path> libraries, Optional<Path> tornadoVm, boolean encodeOnly) {
    /** Stands for the bundle's own folder in its option files. */
    private static final String PLACE = "@BUNDLE@";

    private static final String MODULES =
            "java.se,jdk.compiler,jdk.incubator.vector,jdk.internal.vm.ci,jdk.management,jdk.unsupported,jdk.zipfs";

    private static final String ENCODING_MODULES =
            "java.instrument,java.logging,java.management,java.naming,java.sql,java.xml,"
                    + "jdk.incubator.vector,jdk.internal.vm.ci,jdk.management,jdk.unsupported";

    /** Libraries of the model runtime, of the persistent store and of charts, by the start of their file names. */
    private static final List<String> BEYOND_ENCODING = List.of(
            "pytorch-",
            "tokenizers-",
            "chronicle-",
            "jna-",
            "jnr-",
            "jffi-",
            "asm-",
            "javapoet-",
            "arrow-compression-",
            "zstd-jni-",
            "commons-compress-",
            "xchart-");

    private static final List<String> KERNEL_FOLDERS =
            List.of("share/java/tornado", "share/java/graalJars", "lib", "etc");

    /** Parts of the SDK for programs in other languages, which nothing here calls. */
    private static final List<String> BEYOND_KERNELS =
            List.of("graal-sdk-", "truffle-api-", "polyglot-", "nativeimage-");

    /**
     * Of what this process runs on.
     *
     * @throws InvalidInputException when it was not started through the launcher
     */
    static Bundle ofThisProcess(boolean encodeOnly) {
        Path home = Home.root()
                .filter(root -> Files.exists(root.resolve("pom.xml")))
                .orElseThrow(() -> new InvalidInputException(
                        "bundle needs a checkout of Sparrow KV; start it through the ./sparrow of one"));
        String sdk = System.getProperty(Home.TORNADOVM, "");
        return new Bundle(
                home,
                Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                        .map(Path::of)
                        .filter(Files::isRegularFile)
                        .toList(),
                sdk.isEmpty() ? Optional.empty() : Optional.of(Path.of(sdk)),
                encodeOnly);
    }

    /**
     * Writes it.
     *
     * @param folder made here
     * @throws InvalidInputException when this Java has no jlink
     * @throws IOException when something cannot be read or written, or jlink fails
     */
    void write(Path folder) throws IOException {
        Files.createDirectory(folder);
        link(folder.resolve("runtime"));
        copyLibraries(folder.resolve("lib"));
        List<String> options = new ArrayList<>(Files.readAllLines(home.resolve("jvm.options")));
        if (encodeOnly) {
            options.removeIf(line -> line.contains("=jdk.compiler/"));
            options.add("-D" + Home.ENCODE_ONLY + "=true");
        }
        String commit = System.getProperty(Provenance.COMMIT, "");
        if (!commit.isEmpty()) {
            options.add("-D" + Provenance.COMMIT + "=" + commit);
        }
        Files.write(folder.resolve("jvm.options"), options);
        if (!encodeOnly) {
            FolderTree.copy(home.resolve("models"), folder.resolve("models"));
        }
        if (tornadoVm.isPresent()) {
            copyKernels(tornadoVm.get(), folder);
        }
        Path launcher = folder.resolve("sparrow");
        try (InputStream script = Objects.requireNonNull(Bundle.class.getResourceAsStream("bundle-launcher.sh"))) {
            Files.copy(script, launcher);
        }
        if (!launcher.toFile().setExecutable(true, false)) {
            throw new IOException(launcher + ": cannot be made executable");
        }
    }

    private void link(Path runtime) throws IOException {
        Path jlink = Path.of(System.getProperty("java.home"), "bin", "jlink");
        if (!Files.isExecutable(jlink)) {
            throw new InvalidInputException("bundle needs jlink, which " + jlink + " is not; use a complete JDK 25");
        }
        Process process = new ProcessBuilder(
                        jlink.toString(),
                        "--add-modules",
                        encodeOnly ? ENCODING_MODULES : MODULES,
                        "--strip-debug",
                        "--no-header-files",
                        "--no-man-pages",
                        "--output",
                        runtime.toString())
                .redirectErrorStream(true)
                .start();
        String log = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            if (process.waitFor() != 0) {
                throw new IOException("jlink: " + log.strip());
            }
        } catch (InterruptedException e) {
            process.destroy();
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    private void copyLibraries(Path lib) throws IOException {
        Files.createDirectories(lib);
        for (Path jar : libraries) {
            if (!(encodeOnly && startsWithAny(jar, BEYOND_ENCODING))) {
                Files.copy(jar, lib.resolve(jar.getFileName()));
            }
        }
    }

    private void copyKernels(Path sdk, Path folder) throws IOException {
        Path kernels = home.resolve("tornado-kernels/target");
        Path to = Files.createDirectories(folder.resolve("kernels"));
        try (Stream<Path> jars = Files.list(kernels)) {
            for (Path jar : jars.filter(file -> startsWithAny(file, List.of("sparrow-tornado-kernels-")))
                    .filter(file -> file.toString().endsWith(".jar"))
                    .toList()) {
                Files.copy(jar, to.resolve(jar.getFileName()));
            }
        }
        Path copy = folder.resolve("tornadovm");
        for (String part : KERNEL_FOLDERS) {
            FolderTree.copy(sdk.resolve(part), copy.resolve(part));
        }
        try (Stream<Path> jars = Files.list(copy.resolve("share/java/graalJars"))) {
            for (Path jar :
                    jars.filter(jar -> startsWithAny(jar, BEYOND_KERNELS)).toList()) {
                Files.delete(jar);
            }
        }
        // Licences go with what they are of.
        try (Stream<Path> files = Files.list(sdk)) {
            for (Path licence : files.filter(file -> startsWithAny(file, List.of("LICENSE")))
                    .toList()) {
                Files.copy(licence, copy.resolve(licence.getFileName()));
            }
        }
        Files.write(
                folder.resolve("tornadovm.options"),
                Files.readAllLines(kernels.resolve("tornadovm.options")).stream()
                        .map(line -> line.replace(sdk.toString(), PLACE + "/tornadovm"))
                        .toList());
    }

    private static boolean startsWithAny(Path file, List<String> starts) {
        String name = file.getFileName().toString();
        return starts.stream().anyMatch(name::startsWith);
    }
}
