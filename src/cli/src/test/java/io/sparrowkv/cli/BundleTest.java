package io.sparrowkv.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.spi.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A bundle as a process, on a machine that has, for all it can see, no Java. */
class BundleTest {
    @TempDir
    Path folder;

    @Test
    void anEncodeOnlyBundleEncodesAfterItWasMovedAndRefusesTheRest() throws Exception {
        Path written = folder.resolve("written");
        new Bundle(repository(), libraries(), Optional.empty(), true).write(written);
        Path moved = Files.move(written, folder.resolve("moved to another place"));

        Run encoded = run(
                moved, "bench", "encode", "--d-head=24", "--latents=130", "--budget=5", "--rows=65", "--seconds=0.05");
        assertThat(encoded.code()).as(encoded.err()).isZero();
        assertThat(encoded.out()).contains("vector", "scalar");

        Path prompt = Files.writeString(folder.resolve("prompt"), "Once");
        Run refused = run(
                moved,
                "generate",
                repository().resolve("models/gutenberg-7m").toString(),
                "--prompt-file",
                prompt.toString());
        assertThat(refused.code()).isEqualTo(2);
        assertThat(refused.err()).contains("which this copy of Sparrow KV lacks", "--encode-only");
    }

    @Test
    void aFolderInUseAndAProcessWithoutACheckoutAreRefused() throws IOException {
        Path used = Files.createDirectory(folder.resolve("used"));
        Files.createFile(used.resolve("mine"));
        Run run = Run.sparrow("bundle", "--out", used.toString());
        assertThat(run.code()).isEqualTo(2);
        assertThat(run.err()).contains("--out " + used + ": is not empty; name a new folder");
        assertThat(used).isDirectoryContaining("glob:**/mine");

        Path fresh = folder.resolve("fresh");
        Run homeless = Run.sparrow("bundle", "--out", fresh.toString());
        assertThat(homeless.code()).isEqualTo(2);
        assertThat(homeless.err()).contains("start it through the ./sparrow of one");
        assertThat(fresh).doesNotExist();
    }

    private Run run(Path bundle, String... arguments) throws Exception {
        List<String> command =
                new ArrayList<>(List.of("/bin/bash", bundle.resolve("sparrow").toString()));
        command.addAll(List.of(arguments));
        Path out = folder.resolve("out");
        Path err = folder.resolve("err");
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectOutput(out.toFile()).redirectError(err.toFile());
        Map<String, String> environment = builder.environment();
        environment.clear();
        environment.put("PATH", "/usr/bin:/bin");
        environment.put("HOME", folder.toString());
        int code = builder.start().waitFor();
        return new Run(code, Files.readString(out), Files.readString(err));
    }

    /** What the tests run on, with folders of classes packed as the build packs them. */
    private List<Path> libraries() {
        List<Path> jars = new ArrayList<>();
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
            Path path = Path.of(entry);
            if (Files.isDirectory(path)) {
                Path jar = folder.resolve("classes-" + jars.size() + ".jar");
                int code = ToolProvider.findFirst("jar")
                        .orElseThrow()
                        .run(System.out, System.err, "--create", "--file", jar.toString(), "-C", entry, ".");
                assertThat(code).isZero();
                jars.add(jar);
            } else if (Files.isRegularFile(path)) {
                jars.add(path);
            }
        }
        return jars;
    }

    private static Path repository() {
        Path here = Path.of("").toAbsolutePath();
        while (!Files.exists(here.resolve("sparrow"))) {
            here = here.getParent();
        }
        return here;
    }
}
