package io.sparrowkv.tornado;

import io.sparrowkv.encode.CodeBatch;
import io.sparrowkv.encode.NonFiniteVectorException;
import io.sparrowkv.sae.Dictionary;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import uk.ac.manchester.tornado.api.common.TornadoDevice;

/**
 * Dictionaries of one shape that share their plans, so that all sites of a model are compiled for once. Plans are made at the first
 * batch, for the dictionaries there are by then, and anew only when more of them or a larger budget outgrow them.
 *
 * <p>A batch of several chunks goes through several lanes, each a plan with its buffers and its copy of the weights: while
 * the chunk of one is computed, that of another is centred and copied.
 */
final class DictionaryGroup implements AutoCloseable {
    /** Budgets up to it need no second plan. A larger one makes every chunk's codes larger to copy. */
    private static final int USUAL_BUDGET = 16;

    /** How often a device at work is looked at. */
    private static final long LOOK_NANOS = 50_000_000;

    private final TornadoDevice device;
    private final KernelFamily family;
    private final Tuning tuning;
    private final int dHead;
    private final int latents;
    private final boolean half;
    private final List<Dictionary> slots = new ArrayList<>();
    private final List<Lane> lanes = new ArrayList<>();
    private DictionaryBank bank;
    private boolean changed;
    private boolean oneByOne;

    // The call in progress; the lanes see these through the start of their jobs.
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicInteger firstBadRow = new AtomicInteger();
    private Dictionary dictionary;
    private int slot;
    private MemorySegment vectors = MemorySegment.NULL;
    private CodeBatch codes;
    private int chunks;

    /** A plan and the thread that runs it. */
    private final class Lane {
        final EncodePlan plan;
        final DeviceThread thread;
        final Runnable job = this::encode;
        boolean stale = true;
        private boolean lost;

        Lane(EncodePlan plan, String name) {
            this.plan = plan;
            this.thread = new DeviceThread(name);
        }

        /** Copies the weights to the device if those there are old; compiles at first. One lane at a time: TornadoVM's compiler is not known to be safe. */
        void refresh() {
            if (stale) {
                thread.start(() -> {
                    plan.upload();
                    plan.warm();
                });
                DeviceThread.rethrow(join(tuning.patience()));
                stale = false;
            }
        }

        /**
         * Waits for the job's end, as long as the device gets on with it, and returns what was thrown, or null. Time is counted in looks,
         * so that a process that was stopped for a while does not take its device for stuck.
         */
        Throwable join(Duration patience) {
            int steps = plan.steps();
            int looks = 0;
            while (!thread.ended(LOOK_NANOS)) {
                looks = plan.steps() == steps ? looks + 1 : 0;
                steps = plan.steps();
                if (looks * LOOK_NANOS > patience.toNanos() && plan.abandon()) {
                    lost = true;
                    next.set(chunks);
                    return new DeviceFailedException("no answer for %.1f s".formatted(patience.toNanos() / 1e9), null);
                }
            }
            return thread.join();
        }

        void close() {
            if (lost) {
                // Its thread may never come back: what the plan holds goes with the process.
                thread.close();
                return;
            }
            try {
                thread.run(plan::close);
            } finally {
                thread.close();
            }
        }

        private void encode() {
            try {
                for (int chunk = next.getAndIncrement(); chunk < chunks; chunk = next.getAndIncrement()) {
                    int bad = plan.encode(dictionary, slot, vectors, codes, chunk * plan.rows());
                    if (bad != CentredRows.NO_ROW) {
                        firstBadRow.accumulateAndGet(bad, Math::min);
                        next.set(chunks);
                    }
                }
            } catch (RuntimeException | Error e) {
                next.set(chunks);
                throw e;
            }
        }
    }

    /**
     * @param half whether the weights are kept as binary16: then all dictionaries must be exact as such
     */
    DictionaryGroup(TornadoDevice device, KernelFamily family, Tuning tuning, int dHead, int latents, boolean half) {
        this.device = device;
        this.family = family;
        this.tuning = tuning;
        this.dHead = dHead;
        this.latents = latents;
        this.half = half;
    }

    /** Whether a dictionary has this group's shape and there is room for it. */
    boolean takes(int dHead, int latents, boolean half) {
        return dHead == this.dHead
                && latents == this.latents
                && half == this.half
                && (slots.contains(null) || slots.size() < mostSlots());
    }

    boolean half() {
        return half;
    }

    /** Takes a dictionary in; its weights are read at the next batch. */
    int add(Dictionary dictionary) {
        changed = true;
        int free = slots.indexOf(null);
        if (free >= 0) {
            slots.set(free, dictionary);
            return free;
        }
        slots.add(dictionary);
        return slots.size() - 1;
    }

    void remove(int slot) {
        slots.set(slot, null);
        if (slots.stream().allMatch(Objects::isNull)) {
            close();
        }
    }

    /** Has the weights read again before the next batch. */
    void reload() {
        changed = true;
    }

    /**
     * Encodes a batch.
     *
     * @param codes shaped for its rows, at least one, and its budget
     * @throws NonFiniteVectorException when a vector holds NaN or infinity
     * @throws DeviceFailedException when the device failed; no lane touches the batch any more
     */
    void encode(int slot, MemorySegment vectors, CodeBatch codes) {
        prepare(codes);
        this.dictionary = slots.get(slot);
        this.slot = slot;
        this.vectors = vectors;
        this.codes = codes;
        firstBadRow.set(CentredRows.NO_ROW);
        next.set(0);
        int working = oneByOne ? 1 : Math.min(chunks, lanes.size());
        try {
            run(working);
        } finally {
            this.dictionary = null;
            this.vectors = MemorySegment.NULL;
            this.codes = null;
        }
        if (firstBadRow.get() != CentredRows.NO_ROW) {
            throw new NonFiniteVectorException(slots.get(slot).site(), firstBadRow.get());
        }
    }

    /** Has one lane do all chunks of a batch, so that the clock of a kernel counts nothing of another's; or no longer. */
    void oneByOne(boolean on) {
        oneByOne = on;
    }

    /** The plans, once there was a batch. */
    List<EncodePlan> plans() {
        return lanes.stream().map(lane -> lane.plan).toList();
    }

    @Override
    public void close() {
        List<Lane> ended = List.copyOf(lanes);
        lanes.clear();
        ended.forEach(Lane::close);
    }

    private void run(int working) {
        for (int i = 0; i < working; i++) {
            lanes.get(i).thread.start(lanes.get(i).job);
        }
        Throwable thrown = null;
        for (int i = 0; i < working; i++) {
            // Where one is lost the others need not be waited for as long again.
            Throwable found = lanes.get(i).join(lanes.getFirst().lost ? Duration.ZERO : tuning.patience());
            thrown = thrown == null ? found : thrown;
        }
        DeviceThread.rethrow(thrown);
    }

    /** Sees to it that there are lanes for the batch, and that the weights on the device are those of the dictionaries. */
    private void prepare(CodeBatch codes) {
        if (lanes.isEmpty()
                || bank.slots() < slots.size()
                || lanes.getFirst().plan.budget() < codes.budget()) {
            close();
            bank = new DictionaryBank(dHead, latents, Math.min(powerOfTwo(slots.size()), mostSlots()), half);
            changed = true;
            addLane(Math.max(powerOfTwo(codes.budget()), Math.min(USUAL_BUDGET, latents)));
        }
        EncodePlan first = lanes.getFirst().plan;
        chunks = Math.ceilDiv(codes.rows(), first.rows());
        while (lanes.size() < Math.min(chunks, tuning.lanes())) {
            addLane(first.budget());
        }
        if (changed) {
            for (int i = 0; i < slots.size(); i++) {
                if (slots.get(i) != null) {
                    bank.pack(i, slots.get(i));
                }
            }
            bank.mark();
            lanes.forEach(lane -> lane.stale = true);
            changed = false;
        }
        for (int i = 0; i < lanes.size(); i++) {
            lanes.get(i).refresh();
        }
    }

    private void addLane(int budget) {
        EncodePlan plan = new EncodePlan(device, family.pair().apply(bank.panels()), bank, budget, tuning.chunkRows());
        lanes.add(new Lane(plan, "sparrow-device-" + lanes.size()));
    }

    private int mostSlots() {
        return DictionaryBank.mostSlots(dHead, latents, half, device.getMaxAllocMemory());
    }

    private static int powerOfTwo(int least) {
        return least <= 1 ? 1 : Integer.highestOneBit(least - 1) << 1;
    }
}
