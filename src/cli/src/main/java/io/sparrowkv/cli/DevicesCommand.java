package io.sparrowkv.cli;

import io.sparrowkv.encode.EncodeThroughput;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderDevice;
import io.sparrowkv.encode.EncoderProvider;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.io.InvalidInputException;
import io.sparrowkv.report.Quantities;
import io.sparrowkv.report.Report;
import io.sparrowkv.report.TextTable;
import io.sparrowkv.sae.Dictionary;
import io.sparrowkv.sae.RandomDictionaries;
import io.sparrowkv.sae.RopeStage;
import io.sparrowkv.sae.Site;
import io.sparrowkv.sae.VectorKind;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** Shows every device that an encoder can run on, tests it and measures it. */
@Command(
        name = "devices",
        description =
                "Show, test and measure the devices that can encode (GPUs need TornadoVM, see docs/tornadovm.md).",
        sortOptions = false)
final class DevicesCommand implements Runnable {
    private static final int D_HEAD = 128;
    private static final int LATENTS = 4096;
    private static final int BUDGET = 16;
    private static final int ROWS = 512;

    @Mixin
    private ThreadArguments threads;

    @Mixin
    private OutputArguments output;

    @Override
    public void run() {
        List<Tested> devices = new ArrayList<>();
        List<String> missing = new ArrayList<>();
        for (EncoderProvider provider : Encoders.providers()) {
            Optional<String> reason = provider.unavailable();
            if (reason.isPresent()) {
                missing.add(provider.name() + ": " + reason.get());
            } else {
                provider.devices().forEach(device -> devices.add(test(device)));
            }
        }
        if (devices.isEmpty() && missing.isEmpty()) {
            missing.add("no TornadoVM SDK was found; docs/tornadovm.md says how to install one");
        }
        output.emit(new Result("devices", devices, missing));
    }

    private Tested test(EncoderDevice device) {
        try (EncoderBackend backend = Encoders.start(device.encoder(), threads.count());
                Dictionary dictionary = RandomDictionaries.dictionary(
                        Site.of(0, VectorKind.VALUE), RopeStage.PRE, D_HEAD, LATENTS, 1)) {
            EncodeThroughput rate =
                    EncodeThroughput.measure(backend, dictionary, BUDGET, ROWS, Duration.ofSeconds(1), 2);
            return Tested.of(device, rate);
        } catch (InvalidInputException e) {
            // Its self-test failed at the start.
            return new Tested(device, Optional.of(e.getMessage()), 0);
        }
    }

    /**
     * A device after its test.
     *
     * @param fault what was wrong with it or its codes; empty when all was right
     * @param vectorsPerSecond at d_head 128, 4096 atoms, a budget of 16 and 512 vectors a batch; 0 when it does not work
     */
    record Tested(EncoderDevice device, Optional<String> fault, double vectorsPerSecond) {
        /** After its measurement, whose rate says nothing of wrong codes, and of a lost device would be the CPU's. */
        static Tested of(EncoderDevice device, EncodeThroughput measured) {
            return new Tested(
                    device,
                    measured.disagreement().map(fault -> device.encoder() + ": " + fault),
                    measured.disagreement().isEmpty() ? measured.vectorsPerSecond() : 0);
        }

        private String rate() {
            return fault.isPresent() ? "-" : Quantities.count(Math.round(vectorsPerSecond));
        }
    }

    /** All devices, and why a provider has none to show. */
    record Result(String command, List<Tested> devices, List<String> missing) implements Report {
        @Override
        public void print(PrintWriter out) {
            if (!devices.isEmpty()) {
                TextTable table = TextTable.columns(
                                "--encoder",
                                "kind",
                                "device",
                                "memory",
                                "local",
                                "group",
                                "driver",
                                "self-test",
                                "vectors/s")
                        .left(1, 2, 6, 7);
                for (Tested tested : devices) {
                    EncoderDevice device = tested.device();
                    table.row(
                            device.encoder(),
                            device.kind(),
                            device.name(),
                            Quantities.bytes(device.memoryBytes()),
                            Quantities.bytes(device.localMemoryBytes()),
                            Long.toString(device.workGroupLimit()),
                            device.driver(),
                            tested.fault().isEmpty() ? "passed" : "failed",
                            tested.rate());
                }
                table.print(out);
                out.printf(
                        "%nvectors/s: d_head %d, %d atoms, budget %d, %d vectors a batch, from and to host memory%n",
                        D_HEAD, LATENTS, BUDGET, ROWS);
                devices.forEach(tested -> tested.fault().ifPresent(out::println));
            }
            missing.forEach(out::println);
        }
    }
}
