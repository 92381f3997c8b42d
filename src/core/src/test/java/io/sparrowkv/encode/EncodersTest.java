package io.sparrowkv.encode;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.sparrowkv.io.InvalidInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;

class EncodersTest {
    @Test
    void autoTakesTheMostPreferredThatCanStart() {
        String best = Encoders.providers().stream()
                .filter(provider -> provider.unavailable().isEmpty())
                .findFirst()
                .orElseThrow()
                .name();
        try (EncoderBackend backend = Encoders.start(Encoders.AUTO, 1)) {
            assertThat(backend.name()).isEqualTo(best);
        }
    }

    @Test
    void autoTakesTheFastestWhereThePreferredMayBeSlower() {
        EncoderProvider slow = preferred(new SpoilingBackend(codes -> LockSupport.parkNanos(300_000_000)));
        try (EncoderBackend backend = Encoders.start(List.of(slow, new VectorEncoderProvider()), Encoders.AUTO, 1)) {
            assertThat(backend.name()).isEqualTo("vector");
        }
        EncoderBackend fast = new SpoilingBackend(codes -> {});
        EncoderProvider slower = preferred(new SpoilingBackend(codes -> LockSupport.parkNanos(300_000_000)));
        try (EncoderBackend backend = Encoders.start(List.of(preferred(fast), slower), Encoders.AUTO, 1)) {
            assertThat(backend).isSameAs(fast);
        }
    }

    @Test
    void autoPassesOverCodesThatAreWrongHoweverFastTheyCome() {
        EncoderProvider wrong =
                preferred(new SpoilingBackend(codes -> codes.coefficients().fill((byte) 0)));
        try (EncoderBackend backend = Encoders.start(List.of(wrong, new VectorEncoderProvider()), Encoders.AUTO, 1)) {
            assertThat(backend.name()).isEqualTo("vector");
        }
    }

    /** A provider that auto asks first, and does not take at its word. */
    private static EncoderProvider preferred(EncoderBackend backend) {
        return new EncoderProvider() {
            @Override
            public String name() {
                return backend.name();
            }

            @Override
            public int preference() {
                return Integer.MAX_VALUE;
            }

            @Override
            public Optional<String> unavailable() {
                return Optional.empty();
            }

            @Override
            public boolean mayBeSlower() {
                return true;
            }

            @Override
            public EncoderBackend start(int threads) {
                return backend;
            }
        };
    }

    @Test
    void vectorIsPreferredToScalar() {
        assertThat(Encoders.providers()).extracting(EncoderProvider::name).containsSubsequence("vector", "scalar");
    }

    @Test
    void eachIsFoundByItsName() {
        for (String name : new String[] {"scalar", "vector"}) {
            try (EncoderBackend backend = Encoders.start(name, 2)) {
                assertThat(backend.name()).isEqualTo(name);
            }
        }
    }

    @Test
    void anUnknownNameIsRefusedWithTheKnownOnes() {
        assertThatThrownBy(() -> Encoders.start("cuda", 1))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("--encoder cuda: no such encoder; choose auto, ")
                .hasMessageContaining("vector, scalar");
    }

    @Test
    void aDeviceOfAnEncoderWithoutDevicesIsRefused() {
        assertThatThrownBy(() -> Encoders.start("vector:0", 1))
                .isInstanceOf(InvalidInputException.class)
                .hasMessageContaining("--encoder vector:0: vector has no devices to choose from");
    }

    @Test
    void withoutTheVectorModuleTheProviderLoadsAndSaysWhatIsMissing() throws Exception {
        assertThat(inPlainJvm("print")).contains("start it with --add-modules jdk.incubator.vector");
    }

    @Test
    void withoutTheVectorModuleAutoFallsBackAloudAndVectorIsRefused() throws Exception {
        assertThat(inPlainJvm("auto"))
                .contains("encoder vector is passed over: this JVM runs without the Vector API")
                .contains("started scalar");
        assertThat(inPlainJvm("vector")).contains("InvalidInputException: --encoder vector: this JVM runs without");
    }

    /** Entry of {@link #inPlainJvm}. */
    public static void main(String[] args) {
        if (args[0].equals("print")) {
            Optional<String> reason = new VectorEncoderProvider().unavailable();
            System.out.println(reason.orElse("available"));
        } else {
            try (EncoderBackend backend = Encoders.start(args[0], 1)) {
                System.out.println("started " + backend.name());
            }
        }
    }

    /** Output of {@link #main} in a JVM without the incubator module. */
    private static String inPlainJvm(String argument) throws IOException, InterruptedException {
        String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
        Process process = new ProcessBuilder(
                        java, "-cp", System.getProperty("java.class.path"), EncodersTest.class.getName(), argument)
                .redirectErrorStream(true)
                .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        return output;
    }
}
