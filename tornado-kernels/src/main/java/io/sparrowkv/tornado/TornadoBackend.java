package io.sparrowkv.tornado;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.DeviceTimes;
import io.sparrowkv.encode.EncoderBackend;
import io.sparrowkv.encode.EncoderProvider;
import io.sparrowkv.encode.Encoders;
import io.sparrowkv.encode.TopKEncoder;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One device, and the plans that encode on it. Batches of all encoders take turns. When the device fails in the middle of a stream, the
 * batch in hand and all later ones are encoded on the CPU instead, which is logged once: no token is lost.
 */
final class TornadoBackend implements EncoderBackend {
    private static final Logger LOG = LoggerFactory.getLogger(TornadoBackend.class);

    private final Device device;
    private final boolean gpuKernels;
    private final int threads;
    private final List<DictionaryGroup> groups = new ArrayList<>();
    private EncoderBackend substitute;
    private boolean trusted;
    private boolean failed;

    /**
     * @param gpuKernels whether to run the kernels for GPUs; they run on any device, but slowly on a CPU
     * @param threads of the encoder that takes over should the device fail
     */
    TornadoBackend(Device device, boolean gpuKernels, int threads) {
        this.device = device;
        this.gpuKernels = gpuKernels;
        this.threads = threads;
    }

    @Override
    public String name() {
        return device.encoder();
    }

    @Override
    public String description() {
        return "TornadoVM, %s, %s".formatted(device.backend(), device.name());
    }

    @Override
    public synchronized TopKEncoder open(Dictionary dictionary) {
        DictionaryGroup group = groups.stream()
                .filter(candidate -> candidate.takes(dictionary))
                .findFirst()
                .orElseGet(() -> {
                    DictionaryGroup fresh =
                            new DictionaryGroup(device.tornado(), gpuKernels, dictionary.dHead(), dictionary.latents());
                    groups.add(fresh);
                    return fresh;
                });
        return new TornadoTopKEncoder(this, dictionary, group, group.add(dictionary));
    }

    @Override
    public synchronized OptionalDouble peakGigaflops() {
        return failed
                ? OptionalDouble.empty()
                : OptionalDouble.of(DevicePeak.gigaflops(device.tornado(), device.cpu()));
    }

    /** {@inheritDoc} Plans that the call makes are not seen: it should have run before. */
    @Override
    public synchronized Optional<DeviceTimes> profile(Runnable call) {
        if (failed) {
            return Optional.empty();
        }
        List<EncodePlan> plans = groups.stream()
                .map(DictionaryGroup::plan)
                .flatMap(Optional::stream)
                .toList();
        plans.forEach(plan -> plan.profile(true));
        call.run();
        DeviceTimes times = new DeviceTimes(
                plans.stream().mapToLong(EncodePlan::kernelNanos).sum() / 1e3,
                plans.stream().mapToLong(EncodePlan::transferNanos).sum() / 1e3);
        plans.forEach(plan -> plan.profile(false));
        return Optional.of(times);
    }

    /** From now on a failure is made good on the CPU; before, it is the caller's to see. */
    synchronized void trust() {
        trusted = true;
    }

    /**
     * Encodes on the device; false when it fails, or did before.
     *
     * @throws DeviceFailedException when it fails before it is trusted
     */
    synchronized boolean encode(DictionaryGroup group, int slot, MemorySegment vectors, CodeBatch codes) {
        if (failed) {
            return false;
        }
        try {
            group.encode(slot, vectors, codes);
            return true;
        } catch (DeviceFailedException e) {
            if (!trusted) {
                throw e;
            }
            fail(e);
            return false;
        }
    }

    /** Gives the device up. */
    synchronized void fail(DeviceFailedException reason) {
        failed = true;
        LOG.error(
                "{} failed ({}); this batch and all later ones are encoded by {}",
                name(),
                firstLine(reason),
                substitute().name());
        LOG.debug("the failure", reason);
    }

    /** What encodes once the device has failed. */
    synchronized EncoderBackend substitute() {
        if (substitute == null) {
            substitute = Encoders.providers().stream()
                    .filter(provider -> !(provider instanceof TornadoEncoderProvider))
                    .filter(provider -> provider.unavailable().isEmpty())
                    .findFirst()
                    .map((EncoderProvider provider) -> provider.start(threads))
                    .orElseThrow();
        }
        return substitute;
    }

    synchronized void reload(DictionaryGroup group) {
        group.reload();
    }

    synchronized void remove(DictionaryGroup group, int slot) {
        group.remove(slot);
    }

    @Override
    public synchronized void close() {
        groups.forEach(DictionaryGroup::close);
        groups.clear();
        if (substitute != null) {
            substitute.close();
        }
    }

    /** What went wrong, without TornadoVM's traces. */
    static String firstLine(Throwable e) {
        return String.valueOf(e.getMessage())
                .lines()
                .map(String::strip)
                .filter(line -> !line.isEmpty())
                .findFirst()
                .orElse(e.getClass().getSimpleName());
    }
}
