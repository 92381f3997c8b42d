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
    private final KernelFamily family;
    private final Tuning tuning;
    private final int threads;
    private final List<DictionaryGroup> groups = new ArrayList<>();
    private EncoderBackend substitute;
    private boolean trusted;
    private Optional<String> lost = Optional.empty();

    /** Where a dictionary is: one slot of a group. */
    record Place(DictionaryGroup group, int slot) {}

    /**
     * @param family the kernels; those for GPUs run on any device, but slowly on a CPU
     * @param threads of the encoder that takes over should the device fail
     */
    TornadoBackend(Device device, KernelFamily family, int threads) {
        this(device, family, threads, Tuning.ofThisProcess());
    }

    TornadoBackend(Device device, KernelFamily family, int threads, Tuning tuning) {
        this.device = device;
        this.family = family;
        this.tuning = tuning;
        this.threads = threads;
    }

    @Override
    public String name() {
        return device.encoder();
    }

    @Override
    public String description() {
        return device.description() + ", " + kernels();
    }

    /** Which kernels it runs, for messages: a device may be tried with several. */
    String kernels() {
        return family.label();
    }

    @Override
    public synchronized TopKEncoder open(Dictionary dictionary) {
        return new TornadoTopKEncoder(this, dictionary, place(dictionary));
    }

    @Override
    public synchronized Optional<String> lost() {
        return lost;
    }

    @Override
    public synchronized OptionalDouble peakGigaflops() {
        return lost.isPresent()
                ? OptionalDouble.empty()
                : OptionalDouble.of(DevicePeak.gigaflops(device.tornado(), device.cpu()));
    }

    /** {@inheritDoc} Chunks are encoded one by one. Plans that the call makes are not seen: it should have run before. */
    @Override
    public synchronized Optional<DeviceTimes> profile(Runnable call) {
        if (lost.isPresent()) {
            return Optional.empty();
        }
        List<EncodePlan> plans = plans();
        plans.forEach(plan -> plan.profile(true));
        groups.forEach(group -> group.oneByOne(true));
        try {
            call.run();
            return Optional.of(new DeviceTimes(
                    plans.stream().mapToLong(EncodePlan::kernelNanos).sum() / 1e3,
                    plans.stream().mapToLong(EncodePlan::transferNanos).sum() / 1e3));
        } finally {
            groups.forEach(group -> group.oneByOne(false));
            plans.forEach(plan -> plan.profile(false));
        }
    }

    /** The plans of all groups, as far as they have been made. */
    synchronized List<EncodePlan> plans() {
        return groups.stream().map(DictionaryGroup::plans).flatMap(List::stream).toList();
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
    synchronized boolean encode(Place place, MemorySegment vectors, CodeBatch codes) {
        if (lost.isPresent()) {
            return false;
        }
        try {
            place.group.encode(place.slot, vectors, codes);
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
        String why = DeviceFailedException.line(reason);
        lost = Optional.of("lost: " + why);
        LOG.error(
                "{} failed ({}); this batch and all later ones are encoded by {}",
                name(),
                why,
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

    /** Has a dictionary's weights read again, and tells where it is from now on. */
    synchronized Place reload(Place place, Dictionary dictionary) {
        if (place.group.half() == asHalf(dictionary)) {
            place.group.reload();
            return place;
        }
        remove(place);
        return place(dictionary);
    }

    synchronized void remove(Place place) {
        place.group.remove(place.slot);
    }

    @Override
    public synchronized void close() {
        groups.forEach(DictionaryGroup::close);
        groups.clear();
        if (substitute != null) {
            substitute.close();
        }
    }

    private Place place(Dictionary dictionary) {
        boolean half = asHalf(dictionary);
        DictionaryGroup group = groups.stream()
                .filter(candidate -> candidate.takes(dictionary.dHead(), dictionary.latents(), half))
                .findFirst()
                .orElseGet(() -> {
                    DictionaryGroup fresh = new DictionaryGroup(
                            device.tornado(), family, tuning, dictionary.dHead(), dictionary.latents(), half);
                    groups.add(fresh);
                    return fresh;
                });
        return new Place(group, group.add(dictionary));
    }

    private boolean asHalf(Dictionary dictionary) {
        return family.halves() && DictionaryBank.exactAsHalf(dictionary);
    }
}
